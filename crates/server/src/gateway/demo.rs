//! `quittance gateway --demo`: the development chains, a sample API, and the gateway in front of it.
//!
//! The chains are a program of their own that no release contains; it is started where it is found.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use quittance_facilitator::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::init::texts::{self, Answers};
use crate::{CommandError, print};

/// Where a checkout has the chains, and what the built program is called.
const SCRIPT: &str = "scripts/devnet";
const PROGRAM: &str = "quittance-devnet";

/// What a checkout of the project has besides.
const MANIFEST: &str = "crates/devnet/Cargo.toml";

/// What is sold of the sample API.
const CATALOG: &str = r#"
[catalogue]
name = "demo"
unit = "usd"
usd_per_unit = "1"

[[endpoints]]
method = "POST"
path = "/v1/pictures"
description = "Draws a picture of a prompt"
example = '{"prompt": "a brass key"}'

[endpoints.price]
kind = "call"
units = "0.01"

[endpoints.price.fields]
prompt = { type = "string", required = true, bytes_max = 200 }

[[endpoints]]
method = "GET"
path = "/v1/hello"
description = "Says hello"
price = { kind = "free" }
"#;

/// What runs beside the gateway, and ends with it.
pub(crate) struct Demo {
    pub(crate) config: Config,
    /// It holds keys of the development chains only.
    _folder: TempDir,
    _chains: Child,
    api: actix_web::dev::ServerHandle,
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.api.stop(false));
    }
}

/// Starts what the gateway needs.
pub(crate) async fn begin(devnet: Option<&Path>, listen: Option<&str>) -> Result<Demo, CommandError> {
    let (chains, net) = chains(devnet).await?;
    let (api, url) = sample_api()?;
    let made = folder()?;
    let folder = made.path();
    let text = |place: &str| -> Result<String, CommandError> {
        let text = net.pointer(place).and_then(Value::as_str);
        Ok(text.ok_or_else(|| format!("the development chains did not say {place}"))?.to_owned())
    };
    let file = |name: &str, secret: &str| -> Result<String, CommandError> {
        let path = folder.join(name);
        std::fs::write(&path, secret)?;
        Ok(format!("file:{}", path.display()))
    };
    let answers = Answers {
        upstream: url,
        bearer: None,
        base_pay_to: Some(text("/base/pay_to")?),
        solana_pay_to: Some(text("/solana/pay_to")?),
        base_rpc: Some(text("/base/rpc_url")?),
        solana_rpc: Some(text("/solana/rpc_url")?),
        base_asset: Some(text("/base/usdc")?),
        solana_asset: Some(text("/solana/mint")?),
        base_wallet: file("base_wallet", &text("/base/wallet_key")?)?,
        solana_wallet: file("solana_wallet", &text("/solana/wallet_key")?)?,
        ledger: format!("sqlite://{}", folder.join("quittance.sqlite").display()),
        test_networks: false,
        eth_usd: Some("2500.00".to_owned()),
        sol_usd: Some("150.00".to_owned()),
    };
    let path = folder.join("quittance.toml");
    std::fs::write(&path, texts::config(&answers))?;
    std::fs::write(folder.join("catalog.toml"), CATALOG)?;
    let mut config = super::load(&path)?;
    if let Some(listen) = listen {
        listen.clone_into(&mut config.server.listen);
    }
    let payer = (text("/base/payer_key")?, text("/solana/payer_key")?);
    print(&instructions(&config.server.listen, &payer, &text("/solana/rpc_url")?))?;
    Ok(Demo { config, _folder: made, _chains: chains, api })
}

/// A new folder that nobody else reads: in one that a stranger made before, under a name that can be
/// guessed, the stranger could read what is written and exchange it.
fn folder() -> Result<TempDir, std::io::Error> {
    tempfile::Builder::new().prefix("quittance-demo-").permissions(Permissions::from_mode(0o700)).tempdir()
}

fn instructions(listen: &str, (base, solana): &(String, String), solana_rpc: &str) -> String {
    let body = r#"'{"prompt": "a brass key"}'"#;
    format!(
        "a sample API is sold on http://{listen} on two local chains; the keys are worth nothing elsewhere\n\
         what is free:       curl http://{listen}/v1/hello\n\
         what it costs:      curl -i -X POST http://{listen}/v1/pictures -H 'Content-Type: application/json' -d {body}\n\
         buy it on Base:     BASE_PAYER={base} quittance pay http://{listen}/v1/pictures --data {body} \
         --network base --evm-key env:BASE_PAYER\n\
         buy it on Solana:   SOLANA_PAYER={solana} quittance pay http://{listen}/v1/pictures --data {body} \
         --network solana --solana-key env:SOLANA_PAYER --solana-rpc {solana_rpc}\n\
         end it with Ctrl-C"
    )
}

/// The chains, and the line that they print when they are ready.
async fn chains(devnet: Option<&Path>) -> Result<(Child, Value), CommandError> {
    let program = devnet.map(Path::to_path_buf).or_else(found).ok_or(
        "the demo needs the development chains, which no release contains: build this program in a checkout \
         of the project, or pass --demo-devnet PROGRAM, e.g. the checkout's scripts/devnet",
    )?;
    tracing::info!("starting the development chains; the first time they are built, which takes minutes");
    let mut child = Command::new(&program)
        .arg("--exit-with-parent")
        .env("QUITTANCE_DEVNET_PARENT", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
    let out = child.stdout.take().ok_or("the development chains have no output")?;
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        if let Ok(net @ Value::Object(_)) = serde_json::from_str(&line) {
            return Ok((child, net));
        }
    }
    Err("the development chains ended before they were ready".into())
}

/// Beside this program, or in the checkout that it was built in: never in the folder where it happens
/// to be started, whose scripts may be anybody's.
fn found() -> Option<PathBuf> {
    let here = std::env::current_exe().and_then(std::fs::canonicalize).ok()?;
    let beside = Some(here.with_file_name(PROGRAM)).filter(|path| path.is_file());
    script_of(&here).or(beside)
}

/// The script of the checkout whose `target/debug` or `target/release` holds a program, if both are
/// of one owner.
fn script_of(program: &Path) -> Option<PathBuf> {
    let target = program.parent()?.parent()?;
    let checkout = target.parent().filter(|_| target.ends_with("target"))?;
    let (script, manifest) = (checkout.join(SCRIPT), checkout.join(MANIFEST));
    let owner =
        |path: &Path| std::fs::metadata(path).ok().filter(|found| found.is_file()).map(|found| found.uid());
    let ours = owner(program)?;
    (owner(&script) == Some(ours) && owner(&manifest) == Some(ours)).then_some(script)
}

/// An API that knows nothing of payments.
fn sample_api() -> Result<(actix_web::dev::ServerHandle, String), CommandError> {
    let server = HttpServer::new(|| {
        App::new().route("/v1/pictures", web::post().to(picture)).route(
            "/v1/hello",
            web::get().to(|| async { HttpResponse::Ok().json(json!({ "hello": "there" })) }),
        )
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))?;
    let address = server.addrs().first().copied().ok_or("the sample API listens nowhere")?;
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok((handle, format!("http://{address}")))
}

async fn picture(request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    let plain = |c: &char| c.is_alphanumeric() || " ,.-".contains(*c);
    let prompt: String = body["prompt"].as_str().unwrap_or_default().chars().filter(plain).collect();
    let payer = request.headers().get("x-quittance-payer").and_then(|value| value.to_str().ok());
    let drawn = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 400 100'><text x='20' y='60'>{prompt}</text></svg>"
    );
    HttpResponse::Ok().json(json!({ "svg": drawn, "paid_by": payer }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_new_and_its_owners_alone() {
        let (one, other) = (folder().unwrap(), folder().unwrap());
        assert_ne!(one.path(), other.path());
        assert_eq!(std::fs::metadata(one.path()).unwrap().mode() & 0o777, 0o700);
        let guessed = format!("quittance-demo-{}", std::process::id());
        assert!(!one.path().ends_with(guessed));
    }

    #[test]
    fn only_the_checkout_that_a_program_was_built_in_gives_it_a_script() {
        let checkout = tempfile::tempdir().unwrap();
        let root = checkout.path();
        let at = |path: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let script = at(SCRIPT);
        let (built, moved) = (at("target/debug/quittance"), at("bin/debug/quittance"));
        assert_eq!(script_of(&built), None, "no checkout of the project");
        at(MANIFEST);
        assert_eq!(script_of(&built), Some(script));
        assert_eq!(script_of(&moved), None);
    }
}
