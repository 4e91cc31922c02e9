//! The file documents the defaults; errors name the place; precedence holds.

use super::*;
use crate::model::metric::Margin;

fn no_env(_: &str) -> Option<String> {
    None
}

fn read_text(text: &str) -> Result<Config, Error> {
    Config::new(parse(text, Path::new("armspan.yaml"), &no_env)?)
}

fn error(text: &str) -> String {
    read_text(text).expect_err(text).to_string()
}

#[test]
fn the_documented_file_gives_the_defaults() {
    assert_eq!(read_text(DOCUMENTED).expect("documented"), Config::default());
}

#[test]
fn every_key_is_documented() {
    let shown: serde_json::Value =
        serde_saphyr::from_str(&substitute::substitute(DOCUMENTED, &no_env).expect("env"))
            .expect("yaml");
    let all = Config::default().effective_json();
    assert_same_keys("", &all, &shown);
}

fn assert_same_keys(path: &str, all: &serde_json::Value, shown: &serde_json::Value) {
    let serde_json::Value::Object(all) = all else { return };
    let shown = shown.as_object().unwrap_or_else(|| panic!("{path} is not documented"));
    for (key, value) in all {
        let inner = shown.get(key).unwrap_or_else(|| panic!("{path}.{key} is not documented"));
        assert_same_keys(&format!("{path}.{key}"), value, inner);
    }
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    for text in ["", "# only a comment\n", "---\n"] {
        assert_eq!(read_text(text).expect("empty"), Config::default(), "{text:?}");
    }
}

#[test]
fn an_unknown_key_has_a_place_and_a_near_name() {
    let text = "data: x\nlisten:\n  grcp: 127.0.0.1:1\n";
    assert_eq!(error(text), "armspan.yaml:3:3: unknown key \"grcp\"; did you mean \"grpc\"?");
    let text = "listen:\n  web: 127.0.0.1:1\nlinks: {}\nexperimnts: {}\n";
    assert!(
        error(text).starts_with("armspan.yaml:4:1: unknown key \"experimnts\""),
        "{}",
        error(text)
    );
    let text = "metrics:\n  ok: {from: score, rnage: [0, 1]}\n";
    let told = error(text);
    assert!(told.starts_with("armspan.yaml:2:21: "), "{told}");
    assert!(told.contains("\"rnage\"") && told.contains("\"range\""), "{told}");
}

#[test]
fn a_wrong_type_or_a_double_key_has_a_place() {
    for text in
        ["data: x\nexperiments_auto: perhaps\n", "data: x\nhorizon: soon\n", "data: x\ndata: y\n"]
    {
        assert!(error(text).starts_with("armspan.yaml:2:"), "{}", error(text));
    }
    assert!(error("data: [x\n").starts_with("armspan.yaml:"));
    let told = error("data: x\nsinks:\n  - {kind: jsnol}\n");
    assert!(told.contains("did you mean \"jsonl\""), "{told}");
}

#[test]
fn the_example_of_the_contract_is_read() {
    let config = read_text(
        r#"
identity: {hash_key: "${env:ARMSPAN_HASH_KEY:-}", observed: [code, seed, system_fingerprint]}
mapping: {arm: [resource.service.version]}
experiments:
  support-bot:
    control: A
    split: {A: 0.5, B: 0.5}
    unit: user.id
    alpha: 0.05
    family: {primary: [answer_ok], rollback: [latency_p95, error_rate]}
metrics:
  answer_ok: {role: quality, from: score, grader: judge, direction: increase, range: [0, 1], effect_scale: 0.03, matures_after: 5m}
  latency_p95: {role: guardrail, from: latency, quantile: 0.95, direction: decrease, margin: "10%"}
  error_rate: {role: guardrail, from: error, direction: decrease, margin: 0.01, ceiling: 0.05}
prices: {gpt-4o-mini: {input: 0.15, cached_input: 0.075, output: 0.60, per: 1000000}}
sinks:
  - {kind: jsonl, dir: ./armspan-data/records}
"#,
    )
    .expect("contract");
    let settings = config.settings();
    assert_eq!(settings.metrics["latency_p95"].margin, Some(Margin::Relative(0.1)));
    assert_eq!(settings.metrics["answer_ok"].matures_after, Some(Span::seconds(300)));
    assert_eq!(settings.experiments["support-bot"].split["B"], 0.5);
    assert_eq!(config.sinks[0].name(), "jsonl:./armspan-data/records");
    let again = read_text(&config.effective()).expect("what is printed can be read");
    assert_eq!(again, config);
}

#[test]
fn everything_that_makes_no_sense_is_listed() {
    let told = error(
        r#"
mapping: {prompt.hsh: [a]}
identity: {observed: [code, smapling]}
experiments:
  bot: {control: C, split: {A: 0.5, B: 0.6}, unit: planet, alpha: 2, family: {primary: [answer_k]}}
metrics:
  answer_ok: {from: score, range: [1, 0], quantile: 0.5}
  late: {from: latency, quantile: 1.5, grader: judge, margin: 0.1}
prices: {m: {input: -1, output: 1}}
log: {keep: 1d}
links: {trace: "javascript:alert(1)"}
"#,
    );
    for (key, word) in [
        ("mapping.prompt.hsh: ", "\"prompt.hash\""),
        ("identity.observed[1]: ", "\"sampling\""),
        ("experiments.bot.control: ", "no share"),
        ("experiments.bot.split: ", "1.1"),
        ("experiments.bot.unit: ", "user.id"),
        ("experiments.bot.alpha: ", "0.5"),
        ("experiments.bot.family.primary: ", "\"answer_ok\""),
        ("metrics.answer_ok.range: ", "no range"),
        ("metrics.answer_ok.quantile: ", "only latency"),
        ("metrics.late.quantile: ", "between 0 and 1"),
        ("metrics.late.grader: ", "scores"),
        ("metrics.late.margin: ", "guardrail"),
        ("prices.m: ", "below 0"),
        ("log.keep: ", "7d"),
        ("links.trace: ", "http"),
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(key) && line.contains(word)),
            "{key}{word}\n{told}"
        );
    }
}

#[test]
fn forwarding_is_checked_and_hides_its_headers() {
    let config = read_text(
        "forward: {endpoint: 'https://c:4318', headers: ['authorization=Bearer k3y'], signals: [logs]}",
    );
    let config = config.expect("contract");
    let forward = config.forward.as_ref().expect("forwards");
    assert_eq!(forward.signals, [crate::otlp::Signal::Logs]);
    assert_eq!(forward.timeout, Span::seconds(5));
    assert!(!config.effective().contains("k3y") && !format!("{config:?}").contains("k3y"));
    let told = error("forward: {endpoint: c, headers: [k3y], timeout: 2m, signals: []}");
    for key in ["endpoint", "headers", "timeout", "signals"] {
        assert!(told.contains(&format!("forward.{key}: ")), "{key}: {told}");
    }
    assert!(!told.contains("k3y"), "{told}");
    assert!(error("forward: {endpoint: 'http://c', prtocol: grpc}").contains("protocol"));
}

#[test]
fn names_have_a_limit() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    assert!(error(&format!("experiments: {{{long}: {{}}}}")).contains("128 bytes"));
    assert!(read_text(&format!("experiments: {{{}: {{}}}}", &long[1..])).is_ok());
}

#[test]
fn sinks_are_checked_and_do_not_send_to_ourselves() {
    let told = error("sinks: [{kind: otlp, endpoint: \"http://127.0.0.1:4318\"}]");
    assert!(told.contains("sinks[0].endpoint: is this server itself"), "{told}");
    let other = "sinks: [{kind: otlp, endpoint: \"http://127.0.0.1:5318\"}]";
    assert!(read_text(other).is_ok());
    let told = error("sinks: [{kind: jsonl}, {kind: webhook}, {kind: jsonl}]");
    assert!(told.contains("sinks[1].url: is needed"), "{told}");
    assert!(told.contains("sinks[2]: jsonl:data is there twice"), "{told}");
    let told = error("data: x\nsinks:\n  - {kind: mlflow, experimnt: x}\n");
    assert!(told.contains("\"experimnt\"") && told.contains("\"experiment\""), "{told}");
    assert!(told.starts_with("armspan.yaml:3:"), "{told}");
}

#[test]
fn other_machines_are_let_in_on_purpose_only() {
    let told = error("listen: {web: 0.0.0.0:4390}");
    assert!(told.contains("listen.web") && told.contains("allow_remote"), "{told}");
    assert!(read_text("listen: {web: 0.0.0.0:4390, allow_remote: true}").is_ok());
    assert!(error("listen: {web: nowhere}").contains("is no address"));
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("armspan.yaml");
    std::fs::write(&path, "listen: {grpc: 127.0.0.1:1, http: 127.0.0.1:2}\ndata: file\n")
        .expect("written");
    let env = |name: &str| match name {
        "ARMSPAN_LISTEN_GRPC" => Some("127.0.0.1:11".to_owned()),
        "ARMSPAN_DATA" => Some("env".to_owned()),
        "ARMSPAN_HASH_KEY" => Some("k3y".to_owned()),
        _ => None,
    };
    let flags = Flags { data: Some("flag".into()), ..Default::default() };
    let config = load(Some(&path), &env, &flags).expect("config");
    assert_eq!(config.data, PathBuf::from("flag"));
    assert_eq!(config.listen.grpc.port(), 11);
    assert_eq!(config.listen.http.port(), 2);
    assert_eq!(config.listen.web.port(), 4390);
    assert_eq!(config.normalize.hash_key.reveal(), Some("k3y"));
    assert!(!config.effective().contains("k3y") && !format!("{config:?}").contains("k3y"));
}

#[test]
fn a_missing_file_or_variable_is_named() {
    let told = load(Some(Path::new("no/such.yaml")), &no_env, &Flags::default());
    assert!(told.expect_err("missing").to_string().starts_with("no/such.yaml: "));
    let told = error("data: ${env:NOWHERE}");
    assert!(told.starts_with("armspan.yaml:1:7: ") && told.contains("NOWHERE"), "{told}");
}

#[test]
fn the_schema_names_every_part() {
    let schema = schema();
    assert!(schema["properties"]["listen"].is_object());
    assert_eq!(schema["additionalProperties"], false);
}
