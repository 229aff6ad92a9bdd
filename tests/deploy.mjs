// Holds the files of deploy/ together: compose, Dockerfile, Prometheus, Grafana
// and docs/operations.md name the same things, and their own tools accept them.
//
// Needs `promtool` (scripts/setup --with-prometheus).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { DEPLOY, dashboard, objects, rules, text, tool, used, yaml } from './lib/deploy.mjs';
import { ROOT, say, withStack } from './lib/stack.mjs';
import { finish, test } from './lib/tally.mjs';

function compose() {
  const { services, secrets, volumes } = yaml('compose.yaml');
  assert.deepEqual(Object.keys(services), ['quittance', 'prometheus', 'grafana']);
  const named = new Set(Object.keys(volumes));
  for (const [name, service] of Object.entries(services)) {
    assert.match(service.image, /^[a-z0-9/]+:v?\d+\.\d+\.\d+$/, `${name}: image with a full version`);
    assert.ok(service.ports.length > 0);
    for (const port of service.ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, `${name}: ${port}`);
    for (const volume of service.volumes) {
      const [source, target, mode] = volume.split(':');
      assert.ok(target.startsWith('/'));
      if (source.startsWith('.')) {
        assert.ok(existsSync(join(DEPLOY, source)), `${name}: ${source} does not exist`);
        assert.equal(mode, 'ro', `${name}: ${source}`);
      } else {
        assert.ok(named.delete(source), `${name}: volume ${source} is not declared, or used twice`);
      }
    }
    for (const secret of service.secrets ?? []) assert.ok(secrets[secret], `${name}: secret ${secret}`);
    assert.ok(!service.privileged && !service.network_mode);
    assert.deepEqual(service.cap_drop, ['ALL']);
  }
  assert.equal(named.size, 0, `volumes nobody mounts: ${[...named]}`);
  const ignored = text('.gitignore').split('\n');
  for (const { file } of Object.values(secrets)) {
    assert.ok(ignored.includes(`/${dirname(file).slice(2)}/`), `${file} could be committed`);
  }
  const found = spawnSync('docker', ['compose', 'version']);
  if (found.status === 0) tool('docker', ['compose', '--file', 'compose.yaml', 'config', '--quiet'], { cwd: DEPLOY });
  else say('     skipped: "docker compose config", no docker client with the compose plugin here');
}

function agreement() {
  const { services, secrets } = yaml('compose.yaml');
  const shipped = text('quittance.toml');
  for (const [, name] of shipped.matchAll(/^[^#\n]*"file:\/run\/secrets\/(\w+)"/gm)) {
    assert.ok(secrets[name] && services.quittance.secrets.includes(name), `secret ${name}`);
  }
  const port = services.quittance.environment.QUITTANCE__SERVER__LISTEN.split(':')[1];
  const { scrape_configs: jobs } = yaml('prometheus/prometheus.yml');
  assert.deepEqual(jobs.map(job => job.static_configs[0].targets), [[`quittance:${port}`]]);
  assert.ok(text('Dockerfile').includes(`http://127.0.0.1:${port}/healthz`));
  assert.ok(text('Dockerfile').includes('"/etc/quittance/quittance.toml"'));
  const seconds = Number(/shutdown_seconds = (\d+)/.exec(shipped)[1]);
  assert.ok(Number.parseInt(services.quittance.stop_grace_period, 10) > seconds, 'killed before it has stopped');

  const ledger = /sqlite:\/\/(\/[^"]+)"/.exec(shipped)[1];
  assert.ok(services.quittance.volumes.includes(`ledger:${dirname(ledger)}`), 'the ledger must be on the volume');

  const { datasources } = yaml('grafana/provisioning/datasources/prometheus.yaml');
  assert.equal(datasources[0].url, 'http://prometheus:9090');
  assert.equal(datasources[0].jsonData.timeInterval, yaml('prometheus/prometheus.yml').global.scrape_interval);
  const sources = dashboard.panels.flatMap(panel => [panel, ...panel.targets]).map(part => part.datasource.uid);
  assert.deepEqual([...new Set(sources)], [datasources[0].uid]);
  const { providers } = yaml('grafana/provisioning/dashboards/quittance.yaml');
  assert.ok(services.grafana.volumes.includes(`./grafana/dashboards:${providers[0].options.path}:ro`));
  const home = services.grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH;
  assert.deepEqual(readdirSync(join(DEPLOY, 'grafana/dashboards')), [home.slice(providers[0].options.path.length + 1)]);
  assert.equal(new Set(dashboard.panels.map(panel => panel.id)).size, dashboard.panels.length);
}

function dockerfile() {
  const lines = text('Dockerfile').split('\n').filter(line => line && !line.startsWith('#'));
  const channel = /channel = "(.+)"/.exec(readFileSync(join(ROOT, 'rust-toolchain.toml'), 'utf8'))[1];
  const from = lines.filter(line => line.startsWith('FROM '));
  assert.equal(from.length, 2, 'two stages');
  assert.ok(from[0].startsWith(`FROM rust:${channel}-`), from[0]);
  assert.match(from[1], /:\d+\.\d+-slim$/);
  assert.ok(lines.includes(`ENV RUSTUP_TOOLCHAIN=${channel}`));
  assert.ok(lines.some(line => /^USER [1-9]\d*$/.test(line)), 'USER is a number and not root');
  assert.ok(lines.some(line => line.startsWith('HEALTHCHECK ')));
  for (const line of lines.filter(entry => entry.startsWith('COPY ') && !entry.includes('--from'))) {
    assert.equal(line, 'COPY . .');
  }
  // The build sees only what .dockerignore lets through: all that cargo needs, no secrets.
  const allowed = text('Dockerfile.dockerignore').split('\n').filter(line => line.startsWith('!'));
  for (const line of allowed) assert.ok(existsSync(join(ROOT, line.slice(1))), line);
  const manifest = readFileSync(join(ROOT, 'Cargo.toml'), 'utf8');
  const members = /^members = \[(.*?)\]/ms.exec(manifest)[1].match(/"[^"]+"/g).map(entry => JSON.parse(entry));
  for (const needed of [...members.map(member => member.split('/')[0]), 'migrations', 'Cargo.lock', 'Cargo.toml']) {
    assert.ok(allowed.includes(`!${needed}`), `${needed} is not let into the build`);
  }
}

/** The unit starts what compose starts, with the same folders, and systemd itself reads it. */
function unit(folder) {
  const found = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
  const lines = text('quittance.service').split('\n').filter(line => line && !line.startsWith('#'));
  const value = name => lines.filter(line => line.startsWith(`${name}=`)).map(line => line.slice(name.length + 1));
  const [entry] = /ENTRYPOINT \["(.+)"\]/.exec(text('Dockerfile')).slice(1);
  const command = JSON.parse(/^CMD (\[.+\])$/m.exec(text('Dockerfile'))[1]);
  assert.deepEqual(value('ExecStart'), [`/usr/local/bin/${entry} ${command.join(' ')}`]);
  const shipped = text('quittance.toml');
  assert.deepEqual(value('WorkingDirectory'), [dirname(/sqlite:\/\/(\/[^"]+)"/.exec(shipped)[1])]);
  assert.equal(join('/var/lib', value('StateDirectory')[0]), value('WorkingDirectory')[0]);
  const secrets = new Set([...shipped.matchAll(/"file:(\/.+)\/\w+"/g)].map(([, place]) => place));
  assert.deepEqual(value('BindReadOnlyPaths'), [...secrets].map(place => `${dirname(command.at(-1))}/secrets:${place}`));
  const seconds = Number(/shutdown_seconds = (\d+)/.exec(shipped)[1]);
  assert.ok(Number(value('TimeoutStopSec')[0]) > seconds, 'killed before it has stopped');
  if (found.status !== 0) return say('     skipped: systemd-analyze, not here');
  // The program is not installed here; everything else of the unit is read as it is.
  const path = join(folder, 'quittance.service');
  writeFileSync(path, text('quittance.service').replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
  const read = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
  assert.deepEqual([read.status, read.stderr.trim()], [0, '']);
  const version = Number(/systemd (\d+)/.exec(found.stdout)[1]);
  if (version < 250) return say('     skipped: "systemd-analyze security --offline", of systemd 250');
  // Tenths of its points; 10 is a process without any restriction.
  tool('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=20', path]);
}

// The oldest that has `preStop.sleep`, and the newest whose schemas were published.
const KUBERNETES = ['1.30', '1.37'];

/** The published schemas take the objects, and they mean the same program as the other files. */
function kubernetes() {
  const path = 'kubernetes/quittance.yaml';
  const python = join(ROOT, 'tests/kubernetes/.venv/bin/kubernetes-validate');
  for (const version of KUBERNETES) {
    tool(python, ['--strict', '--no-warn', '-k', `${version}.0`, path], { cwd: DEPLOY });
  }
  const kinds = new Map(objects(path).map(object => [object.kind, object]));
  const { spec: deployment } = kinds.get('Deployment');
  const pod = deployment.template.spec;
  const [container] = pod.containers;
  assert.ok(deployment.replicas > 1);
  const labels = deployment.template.metadata.labels;
  const selectors = [deployment.selector.matchLabels, kinds.get('Service').spec.selector];
  selectors.push(kinds.get('PodDisruptionBudget').spec.selector.matchLabels);
  selectors.push(kinds.get('NetworkPolicy').spec.podSelector.matchLabels);
  for (const selector of selectors) assert.deepEqual(selector, labels);

  const shipped = text('quittance.toml');
  const environment = new Map(container.env.map(entry => [entry.name, entry.value]));
  for (const name of environment.keys()) {
    if (!name.startsWith('QUITTANCE__')) continue;
    const [section, key] = name.slice('QUITTANCE__'.length).toLowerCase().split('__');
    const part = shipped.slice(shipped.indexOf(`\n[${section}]`)).split(/\n\[/)[1];
    assert.match(part, new RegExp(`^(# )?${key} = `, 'm'), name);
  }
  const ports = new Map(container.ports.map(port => [port.name, port.containerPort]));
  assert.equal(environment.get('QUITTANCE__SERVER__LISTEN'), `0.0.0.0:${ports.get('http')}`);
  assert.equal(environment.get('QUITTANCE__SERVER__ADMIN_LISTEN'), `0.0.0.0:${ports.get('admin')}`);
  assert.equal(String(ports.get('admin')), deployment.template.metadata.annotations['prometheus.io/port']);
  assert.deepEqual(kinds.get('Service').spec.ports.map(port => port.targetPort), ['http'], 'payments only');
  assert.equal(container.livenessProbe.httpGet.path, '/healthz', 'a chain that is down restarts nothing');
  assert.equal(container.readinessProbe.httpGet.path, '/readyz');

  const user = Number(/^USER (\d+)$/m.exec(text('Dockerfile'))[1]);
  assert.deepEqual([pod.securityContext.runAsUser, pod.securityContext.runAsNonRoot], [user, true]);
  const { readOnlyRootFilesystem, allowPrivilegeEscalation, capabilities } = container.securityContext;
  assert.deepEqual([readOnlyRootFilesystem, allowPrivilegeEscalation, capabilities], [true, false, { drop: ['ALL'] }]);
  const mounts = new Map(container.volumeMounts.map(mount => [mount.name, mount.mountPath]));
  assert.equal(mounts.get('state'), dirname(/sqlite:\/\/(\/[^"]+)"/.exec(shipped)[1]));
  assert.equal(`${mounts.get('config')}/quittance.toml`, JSON.parse(/^CMD (\[.+\])$/m.exec(text('Dockerfile'))[1]).at(-1));
  // Each secret that the configuration or the environment names is among those to be made.
  const references = [...shipped.matchAll(/^[^#\n]*"(file:[^"]+)"/gm)].map(([, reference]) => reference);
  references.push(...[...environment.values()].filter(value => value?.startsWith('file:')));
  const head = text(path).split('\napiVersion')[0];
  for (const reference of references) {
    assert.equal(dirname(reference.slice('file:'.length)), mounts.get('secrets'), reference);
    assert.ok(head.includes(`--from-file=${reference.split('/').at(-1)}=`), reference);
  }
  const seconds = Number(/shutdown_seconds = (\d+)/.exec(shipped)[1]);
  const pause = container.lifecycle.preStop.sleep.seconds;
  assert.ok(pod.terminationGracePeriodSeconds > seconds + pause, 'killed before it has stopped');
}

function documentation() {
  const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  for (const { alert } of rules) assert.ok(page.includes(`\`${alert}\``), alert);
  for (const name of used()) assert.ok(page.includes(`\`${name}\``), name);
  for (const { title } of dashboard.panels) assert.ok(page.includes(title), title);
}

await withStack(async folder => {
  await test('promtool accepts the scrape configuration and the alerts', () => {
    const cwd = join(DEPLOY, 'prometheus');
    tool('promtool', ['check', 'config', 'prometheus.yml'], { cwd });
    tool('promtool', ['check', 'rules', 'alerts.yml'], { cwd });
  });

  await test('each alert fires on the series it is for', () => {
    tool('promtool', ['test', 'rules', 'alerts_test.yml'], { cwd: join(DEPLOY, 'prometheus') });
    const tried = yaml('prometheus/alerts_test.yml').tests.flatMap(entry => entry.alert_rule_test ?? []);
    const names = new Set(tried.filter(entry => entry.exp_alerts.length > 0).map(entry => entry.alertname));
    assert.deepEqual([...names].sort(), rules.map(rule => rule.alert).sort());
  });

  await test('compose.yaml: pinned images, loopback ports, files that exist', compose);
  await test('compose.yaml and its configurations agree on names and ports', agreement);
  await test('the Dockerfile builds the pinned toolchain and runs as nobody special', dockerfile);
  await test('the systemd unit starts what compose starts, and systemd reads it', () => unit(folder));
  await test('Kubernetes takes the objects, and they mean the same program', kubernetes);
  await test('docs/operations.md speaks of every metric and every alert', documentation);
});

finish();
