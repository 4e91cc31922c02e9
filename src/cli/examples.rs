//! Examples at the end of `--help` and of manual pages: short, and each can be typed as it is.

/// `serve`.
pub const SERVE: &str = "Examples:
  armspan serve                                  # on loopback, data in ./armspan-data
  armspan serve --config armspan.yaml
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 python app.py";
/// `demo`.
pub const DEMO: &str = "Examples:
  armspan demo                                   # then open the address that it prints
  armspan demo --once --scenario srm             # a split that loses units";
/// `check`.
pub const CHECK: &str = "Examples:
  armspan check --config armspan.yaml
  armspan check --config armspan.yaml --dry-run spans.json
  armspan check --print-schema > armspan.schema.json";
/// `status`.
pub const STATUS: &str = "Examples:
  armspan status
  armspan status --data ./armspan-data           # no server has to run
  armspan status -o json | jq .rejected";
/// `doctor`.
pub const DOCTOR: &str = "Examples:
  armspan doctor                                 # of the running server
  armspan doctor traces.json logs.json";
/// `plan`.
pub const PLAN: &str = "Examples:
  armspan plan --baseline 0.8 --effect 0.03 --units-per-day 2000
  armspan plan --baseline 0.01 --margin 0.005 --units-per-day 2000 --claims 6
  armspan plan --sd 1.4 --effect 0.2             # a latency, in seconds";
/// `explain`.
pub const EXPLAIN: &str = "Examples:
  armspan explain spans.json
  armspan explain -o jsonl *.pb | jq 'select(.kind == \"call\") | .missing'";
/// `arms status`.
pub const ARMS_STATUS: &str = "Examples:
  armspan arms status support-bot
  armspan arms status support-bot -o markdown    # for a pull request";
/// `arms watch`.
pub const ARMS_WATCH: &str = "Examples:
  armspan arms watch support-bot
  armspan arms watch support-bot --server http://armspan.internal:4390
  armspan arms watch support-bot -o jsonl | jq 'select(.kind == \"verdict\")'";
/// `gate`.
pub const GATE: &str = "Examples:
  armspan gate --experiment support-bot          # exit code 0, 10 or 12
  armspan gate --experiment support-bot --arm B --wait 30m --fail-on inconclusive
  armspan gate --experiment support-bot --junit gate.xml --data ./armspan-data";
/// `report`.
pub const REPORT: &str = "Examples:
  armspan report --experiment support-bot --format markdown > comment.md
  armspan report --experiment support-bot --format html --out report.html";
/// `experiments list`.
pub const EXPERIMENTS_LIST: &str = "Examples:
  armspan experiments list
  armspan experiments list -o csv > experiments.csv";
/// `runs list`.
pub const RUNS_LIST: &str = "Examples:
  armspan runs list --experiment support-bot
  armspan runs list -o jsonl | jq -r .run.id";
/// `runs show`.
pub const RUNS_SHOW: &str = "Examples:
  armspan runs show 9f0c                         # the first digits are enough
  armspan runs show 9f0c -o json | jq .config";
/// `runs compare`.
pub const RUNS_COMPARE: &str = "Examples:
  armspan runs compare 9f0c 41ab
  armspan runs compare 9f0c 41ab -o markdown";
/// `replay`.
pub const REPLAY: &str = "Examples:
  armspan replay traces.json logs.json
  armspan replay --records *.pb > records.jsonl
  armspan replay ./armspan-data                  # the log of a data folder";
/// `export`.
pub const EXPORT: &str = "Examples:
  armspan export jsonl > records.jsonl
  armspan export parquet --dir ./records --from 24h
  armspan export status                          # how the sinks of a server do";
/// `bench`.
pub const BENCH: &str = "Examples:
  armspan bench --pid $(pgrep -x armspan)        # flat out, with what it costs the server
  armspan bench --rate 50000 --seconds 60        # latency at a set rate
  armspan bench --protocol http -o json http://127.0.0.1:4318";
/// `completions`.
pub const COMPLETIONS: &str = "Examples:
  armspan completions bash > ~/.local/share/bash-completion/completions/armspan
  armspan completions fish > ~/.config/fish/completions/armspan.fish";
/// `token`.
pub const TOKEN: &str = "Examples:
  armspan token                                  # the hash goes under auth.tokens in the config
  armspan token -o json | jq -r .token";
/// `man`.
pub const MAN: &str = "Examples:
  armspan man ~/.local/share/man/man1 && man armspan-arms-watch";
