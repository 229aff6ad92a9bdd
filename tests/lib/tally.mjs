// Runs named tests one after the other and counts them truthfully: the first
// failure ends the file, so the closing line is printed only when all passed.
let passed = 0;

export async function test(name, body) {
  const begun = Date.now();
  try {
    await body();
  } catch (error) {
    process.stderr.write(`FAILED  ${name}\n`);
    throw error;
  }
  passed += 1;
  process.stderr.write(`ok  ${name} (${((Date.now() - begun) / 1_000).toFixed(1)} s)\n`);
}

export function finish() {
  console.log(`${passed} passed, 0 failed`);
}
