//! What the program says of itself, and that its examples work.

use crate::support::Sandbox;

/// Every command that does something, in an order in which their examples can run.
const COMMANDS: [&[&str]; 26] = [
    &["tokens", "create"],
    &["tokens", "list"],
    &["tokens", "revoke"],
    &["serve"],
    &["worker"],
    &["config", "check"],
    &["config", "defaults"],
    &["store", "check"],
    &["store", "backup"],
    &["store", "restore"],
    &["models"],
    &["compile"],
    &["infer"],
    &["keys", "new"],
    &["keys", "list"],
    &["keys", "show"],
    &["keys", "remove"],
    &["inspect"],
    &["demo"],
    &["doctor"],
    &["top"],
    &["bench", "primitives"],
    &["bench", "flow"],
    &["bench", "load"],
    &["bench", "compare"],
    &["bench", "scaling"],
];

fn help(sandbox: &Sandbox, command: &[&str]) -> String {
    let text = sandbox.run(&[command, &["--help"]].concat()).ok();
    assert!(!text.contains('\u{1b}'), "no escapes into a pipe");
    text
}

fn examples(text: &str) -> Vec<&str> {
    let part = text.split("Examples:").nth(1).unwrap_or("");
    part.lines().map(str::trim).filter(|line| line.contains("hei ")).collect()
}

#[test]
fn the_top_level_help_names_every_verb_and_exit_code() {
    let sandbox = Sandbox::new();
    let text = help(&sandbox, &[]);
    for command in COMMANDS {
        assert!(text.contains(&format!("  {} ", command[0])), "{}", command[0]);
    }
    for code in 0..=6 {
        assert!(text.contains(&format!("\n  {code}  ")), "exit code {code} is documented");
    }
    assert!(text.contains("NO_COLOR"));
    let version = sandbox.run(&["--version"]).ok();
    assert_eq!(version.trim(), format!("hei {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_example_in_the_help_runs() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&["--admin", "127.0.0.1:0"]);
    sandbox.write("rows.csv", "0.5,-1,0.25,0,1,0.1,-0.3,0.7\n");
    sandbox.write("cancer.csv", include_str!("../../../../models/data/breast_cancer_heldout.csv"));
    sandbox.write("entry.json", include_str!("../../../../models/logistic_v1.json"));
    let model = include_bytes!("../../../../models/logistic_v1.hei");
    sandbox.write("model.hei", model);
    sandbox.write("compiled/model.hei", model);
    sandbox.write("ciphertext.bin", ciphertext());
    sandbox.write("passphrase", "open sesame\n");
    // One that an example replaces with what it prints.
    sandbox.write("hei.toml", "");
    for command in COMMANDS {
        let text = help(&sandbox, command);
        let examples = examples(&text);
        assert!(!examples.is_empty(), "{command:?} has no examples");
        for example in examples {
            // What a test must do differently: ports of its own, no terminal, no waiting.
            let mut line = example
                .replace("http://127.0.0.1:8000", &server.url)
                .replace("0.0.0.0:8000", "127.0.0.1:0")
                .replace("--ask-passphrase", "--passphrase-file passphrase");
            if line.contains("postgres://") {
                let Some(cluster) = crate::postgres::postgres() else { continue };
                let (_, address) = cluster.database();
                for place in ["postgres://hei@db.example/hei", "postgres://hei@127.0.0.1/hei"] {
                    line = line.replace(place, &address);
                }
                line = line.replace("s3://hei-blobs", "blobs").replace("/srv/hei/blobs", "blobs");
            }
            if command == ["serve"] || command == ["worker"] {
                line.push_str(" --until-stdin-closes");
                if command == ["serve"] && !line.contains("--listen") {
                    line.push_str(" --listen 127.0.0.1:0");
                }
            }
            if line.contains("breast_cancer_v1") {
                line = line.replace("rows.csv", "cancer.csv");
            }
            if ["primitives", "compare", "scaling"].iter().any(|name| line.contains(name)) {
                let all: Vec<&str> = line.split_whitespace().filter(|word| *word != "--quick").collect();
                line = all.join(" ") + " --quick";
            }
            if command == ["top"] {
                let admin = server.admin.as_deref().unwrap();
                line = line
                    .replace("hei top", "HEI_ADMIN_URL=$ADMIN hei top")
                    .replace("http://127.0.0.1:9090", admin);
                line = line.replace("$ADMIN", admin);
            }
            if line.contains("bench load") {
                // Whether this machine keeps every promise while tests run is not asked here.
                line = "hei bench load --less 500 --folder bench || [ $? = 1 ]".to_owned();
            }
            if line.contains("bench compare") {
                // Nothing is installed, and one small set says enough.
                let typed = line.split_whitespace().take_while(|word| !word.starts_with("--"));
                line = typed.collect::<Vec<_>>().join(" ") + " --peers none --quick --set n4096";
            }
            if command == ["tokens", "revoke"] {
                let made = sandbox.shell("hei tokens create --tokens tokens.json --tenant a", &server.url);
                let id = made.stdout.split('_').nth(1).unwrap().to_owned();
                line = line.replace("0011223344556677", &id);
            }
            let ended = sandbox.shell(&line, &server.url);
            assert_eq!(ended.code, 0, "{line}\n{}", ended.stderr);
            assert!(!ended.stdout.is_empty() || line.contains(" > "), "{line} answers");
        }
    }
}

fn ciphertext() -> Vec<u8> {
    use hei_ckks::{Encoder, OsRandomness, Parameters, ParametersLiteral, SecretKey};
    let literal = ParametersLiteral {
        poly_modulus_degree: 2048,
        coeff_modulus_bits: vec![50],
        special_count: 0,
        scale: f64::exp2(30.0),
    };
    let parameters = Parameters::new(&literal).unwrap();
    let context = parameters.context();
    let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
    let plain = Encoder::new(context).encode(&[1.0], 0, context.scale()).unwrap();
    hei_wire::hei::encode_ciphertext(&key.encrypt(&plain, &mut OsRandomness).unwrap(), context).unwrap()
}
