//! The files that are written.

use std::fmt::Write as _;
use std::path::Path;

use reqwest::Url;

use crate::init::skeleton::Skeleton;

/// Chainlink's ETH/USD on Base, and Pyth's SOL/USD on Solana.
const ETH_FEED: &str = "0x71041dddad3595F9CEd3DcCFBe3D1F4b0a16Bb70";
const SOL_FEED: &str = "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE";

/// All that must be known.
pub(crate) struct Answers {
    pub(crate) upstream: String,
    pub(crate) bearer: Option<String>,
    pub(crate) base_pay_to: Option<String>,
    pub(crate) solana_pay_to: Option<String>,
    pub(crate) base_rpc: Option<String>,
    pub(crate) solana_rpc: Option<String>,
    pub(crate) base_asset: Option<String>,
    pub(crate) solana_asset: Option<String>,
    pub(crate) base_wallet: String,
    pub(crate) solana_wallet: String,
    pub(crate) ledger: String,
    pub(crate) test_networks: bool,
    pub(crate) eth_usd: Option<String>,
    pub(crate) sol_usd: Option<String>,
}

/// One network's section.
struct Section<'a> {
    name: &'a str,
    network: &'a str,
    rpc: &'a str,
    asset: &'a str,
    pay_to: &'a str,
    wallet: &'a str,
}

/// A text of TOML, whose escapes JSON's are among.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Answers {
    fn sections(&self) -> Vec<Section<'_>> {
        let (base, solana) = match self.test_networks {
            false => (
                ("eip155:8453", "https://mainnet.base.org", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
                (
                    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
                    "https://api.mainnet-beta.solana.com",
                    "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
                ),
            ),
            true => (
                ("eip155:84532", "https://sepolia.base.org", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
                (
                    "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
                    "https://api.devnet.solana.com",
                    "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
                ),
            ),
        };
        let base = self.base_pay_to.as_deref().map(|pay_to| Section {
            name: "base",
            network: base.0,
            rpc: self.base_rpc.as_deref().unwrap_or(base.1),
            asset: self.base_asset.as_deref().unwrap_or(base.2),
            pay_to,
            wallet: &self.base_wallet,
        });
        let solana = self.solana_pay_to.as_deref().map(|pay_to| Section {
            name: "solana",
            network: solana.0,
            rpc: self.solana_rpc.as_deref().unwrap_or(solana.1),
            asset: self.solana_asset.as_deref().unwrap_or(solana.2),
            pay_to,
            wallet: &self.solana_wallet,
        });
        base.into_iter().chain(solana).collect()
    }

    /// Fixed rates where they were said, or where nothing is worth anything; else live ones.
    fn rates(&self) -> String {
        let (mut fixed, mut sources) = (String::new(), String::new());
        for Section { name, rpc, .. } in self.sections() {
            let (pair, said, kind, feed, test) = match name {
                "base" => {
                    let feed = format!("address = {}\nage_max_seconds = 1500", quoted(ETH_FEED));
                    ("eth_usd", &self.eth_usd, "chainlink", feed, "2500.00")
                }
                _ => ("sol_usd", &self.sol_usd, "pyth", format!("account = {}", quoted(SOL_FEED)), "150.00"),
            };
            let said = said.as_deref().or(self.test_networks.then_some(test));
            let _ = match said {
                Some(rate) => writeln!(fixed, "{pair} = {}", quoted(rate)),
                None => writeln!(
                    sources,
                    "\n[[rates.sources]]\nkind = {}\npair = {}\nurl = {}\n{feed}",
                    quoted(kind),
                    quoted(pair),
                    quoted(rpc)
                ),
            };
        }
        format!("[rates]\n{fixed}{sources}")
    }
}

/// `quittance.toml`.
pub(crate) fn config(answers: &Answers) -> String {
    let mut text = format!(
        "# Made by `quittance init`. Every key there is, with what it means, stands in the example\n\
         # configuration, deploy/quittance.toml; unknown keys are errors.\n\n\
         [server]\nlisten = \"127.0.0.1:4402\"\n\
         # How the outside world reaches it; stands in every offer.\n\
         # public_url = \"https://api.example.com\"\n\n\
         [ledger]\nurl = {}\n",
        quoted(&answers.ledger)
    );
    for Section { name, network, rpc, asset, pay_to, wallet } in answers.sections() {
        let _ = write!(
            text,
            "\n[networks.{name}]\nnetwork = {}\n\
             # An endpoint of your own or a paid one: public ones limit how often they may be asked.\n\
             rpc_urls = [{}]\nasset = {}\n\
             # Who is paid; not the wallet below, which holds fees only.\n\
             pay_to = {}\n# The wallet that pays for settlements, by reference: env:NAME or file:PATH.\n\
             wallets = [{}]\n",
            quoted(network),
            quoted(rpc),
            quoted(asset),
            quoted(pay_to),
            quoted(wallet)
        );
    }
    let _ = write!(text, "\n{}\n", answers.rates());
    let _ = write!(
        text,
        "[gateway.upstreams.api]\nurl = {}\ncatalogue = \"catalog.toml\"\n",
        quoted(&answers.upstream)
    );
    let credential = match &answers.bearer {
        Some(reference) => format!(
            "credentials = [{{ header = \"Authorization\", scheme = \"Bearer\", secret = {} }}]\n",
            quoted(reference)
        ),
        None => "# What your API asks for, by reference:\n# credentials = [{ header = \"Authorization\", \
                 scheme = \"Bearer\", secret = \"env:API_KEY\" }]\n"
            .to_owned(),
    };
    text.push_str(&credential);
    text.push_str("# A path of it that is asked all the time: nothing is sold while it does not answer.\n");
    text.push_str("# health_path = \"/health\"\n");
    text
}

/// The names of environment variables that the configuration refers to.
fn variables(answers: &Answers) -> Vec<&str> {
    let wallets = answers.sections().into_iter().map(|section| section.wallet);
    wallets.chain(answers.bearer.as_deref()).filter_map(|reference| reference.strip_prefix("env:")).collect()
}

/// `compose.yaml`. A container reaches this host under another name than loopback.
pub(crate) fn compose(answers: &Answers) -> String {
    let mut upstream = answers.upstream.clone();
    if let Ok(mut url) = Url::parse(&upstream)
        && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
        && url.set_host(Some("host.docker.internal")).is_ok()
    {
        upstream = url.as_str().trim_end_matches('/').to_owned();
    }
    let variables: String = variables(answers).into_iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "      {name}: ${{{name}:?set {name}}}");
        text
    });
    format!(
        "# Made by `quittance init`. The image is built from the project's deploy/Dockerfile:\n\
         #   docker build --file deploy/Dockerfile --tag quittance:0.1.0 .\n\
         # Its user (10001) reads quittance.toml, which only its owner may: sudo chown 10001 quittance.toml\n\
         # The port is published on loopback only: put TLS in front before it leaves this host.\n\
         name: quittance-gateway\n\
         services:\n\
         \x20 gateway:\n\
         \x20   image: quittance:0.1.0\n\
         \x20   command: [\"gateway\", \"--config\", \"/etc/quittance/quittance.toml\"]\n\
         \x20   working_dir: /etc/quittance\n\
         \x20   environment:\n\
         \x20     QUITTANCE__SERVER__LISTEN: \"0.0.0.0:4402\"\n\
         \x20     QUITTANCE__LEDGER__URL: sqlite:///var/lib/quittance/quittance.sqlite\n\
         \x20     QUITTANCE__GATEWAY__UPSTREAMS__API__URL: {upstream}\n\
         {variables}\
         \x20   volumes:\n\
         \x20     - ./quittance.toml:/etc/quittance/quittance.toml:ro\n\
         \x20     - ./catalog.toml:/etc/quittance/catalog.toml:ro\n\
         \x20     - ledger:/var/lib/quittance\n\
         \x20   ports:\n\
         \x20     - \"127.0.0.1:4402:4402\"\n\
         \x20   extra_hosts: [\"host.docker.internal:host-gateway\"]\n\
         \x20   read_only: true\n\
         \x20   cap_drop: [ALL]\n\
         \x20   security_opt: [\"no-new-privileges:true\"]\n\
         \x20   # Longer than server.shutdown_seconds.\n\
         \x20   stop_grace_period: 45s\n\
         \x20   restart: unless-stopped\n\
         volumes:\n\
         \x20 ledger:\n"
    )
}

/// What is said at the end.
pub(crate) fn next_steps(dir: &Path, answers: &Answers, from_document: bool, made: &Skeleton) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut text =
        format!("written: {}, {}, {}\n", at("quittance.toml"), at("catalog.toml"), at("compose.yaml"));
    if from_document {
        text.push_str("the catalogue lists what the API's OpenAPI document lists; look at every price\n");
    } else {
        text.push_str("the API showed no OpenAPI document: the catalogue is an example, list your paths\n");
    }
    if made.open > 0 {
        let _ = writeln!(
            text,
            "{} operations that only read are written as comments: choose which of them are free, or sold",
            made.open
        );
    }
    if !made.is_whole {
        text.push_str("nothing is listed until you choose, and the gateway does not start before that\n");
    }
    for note in &made.left_out {
        let _ = writeln!(text, "left out: {note}");
    }
    let names = variables(answers);
    if !names.is_empty() {
        let _ = writeln!(text, "set before the start: {}", names.join(", "));
    }
    let _ = write!(text, "then: quittance gateway --config {}", at("quittance.toml"));
    text
}
