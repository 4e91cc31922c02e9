#!/usr/bin/env bash
# Asks the gate, writes its report and JUnit XML, the step summary and the outputs. It ends with 0
# whatever the gate says: the comment comes first, and the action's last step has the gate's code.
set -euo pipefail
dir="$(mktemp -d "${RUNNER_TEMP:-/tmp}/armspan.XXXXXX")"
summary_bytes_max=1000000

# One word a flag: a name that begins with a dash stays a name.
asked=("--experiment=$INPUT_EXPERIMENT")
[[ -z "$INPUT_SERVER" ]] || asked+=("--server=$INPUT_SERVER")
[[ -z "$INPUT_DATA" ]] || asked+=("--data=$INPUT_DATA")
[[ -z "$INPUT_ARM" ]] || asked+=("--arm=$INPUT_ARM")
[[ -z "$INPUT_FAIL_ON" ]] || asked+=("--fail-on=$INPUT_FAIL_ON")
waits=()
[[ -z "$INPUT_WAIT" ]] || waits+=("--wait=$INPUT_WAIT")
links=()
[[ ! "$INPUT_DASHBOARD" =~ ^https?:// ]] || links+=("--dashboard=$INPUT_DASHBOARD")
if [[ -n "${GITHUB_RUN_ID:-}" ]]; then
  links+=("--artifacts=${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID")
fi

# A gate that could not be asked has a comment, too: the old one may say that all is well. Its id
# is made as `armspan report` makes it.
could_not_be_asked() {
  local id
  id="$(jq -cnj --arg experiment "$INPUT_EXPERIMENT" --arg arm "$INPUT_ARM" \
    '["armspan/comment/v1", $experiment, (if $arm == "" then null else $arm end)]' | sha256sum | cut -c 1-32)"
  printf '<!-- armspan:run=%s -->\n### :warning: The gate could not be asked (exit code %s)\n\n<pre>' "$id" "$1"
  tail -n 20 "$dir/said" | head -c 4000 | jq -Rsrj '@html | gsub("@"; "&#64;") | gsub("\n"; "<br>")'
  printf '</pre>\n'
}

# What a name makes of a line of the log must not be a command of the runner.
quiet="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
echo "::stop-commands::$quiet"
code=0
exec 3> >(tee "$dir/said" >&2)
teller=$!
"$INPUT_ARMSPAN" gate "${asked[@]}" "${waits[@]}" --junit="$dir/gate.xml" -o json > "$dir/gate.json" 2>&3 || code=$?
exec 3>&-
wait "$teller" || true
result="$(jq -r '.result // empty' "$dir/gate.json" 2> /dev/null || true)"
junit=""
if [[ -n "$result" ]]; then
  junit="$dir/gate.xml"
  jq -r '(.reasons + [.warnings[] | "Warning: " + .] + [.sentence])[]' "$dir/gate.json"
  "$INPUT_ARMSPAN" report "${asked[@]}" "${links[@]}" --format=markdown --out="$dir/report.md" 2> "$dir/said" \
    || { failed=$?; cat "$dir/said" >&2; could_not_be_asked "$failed" > "$dir/report.md"; }
else
  result=error
  # That nothing was answered is never a pass.
  ((code != 0)) || code=1
  could_not_be_asked "$code" > "$dir/report.md"
fi
echo "::$quiet::"

# The answer stands at the top of the run, too; in it a percent sign begins what the runner decodes.
case "$code" in 0) level=notice ;; *) level=error ;; esac
if [[ -n "$result" && "$result" != error ]]; then
  sentence="$(jq -r '.sentence | gsub("[[:cntrl:]]"; " ") | gsub("%"; "%25")' "$dir/gate.json")"
else
  sentence="the gate could not be asked (exit code $code)"
fi
echo "::$level title=armspan gate::$sentence"

{
  echo "result=$result"
  echo "exit-code=$code"
  echo "report=$dir/report.md"
  echo "junit=$junit"
} >> "$GITHUB_OUTPUT"

# A summary that is too long is dropped as a whole.
if [[ -n "${GITHUB_STEP_SUMMARY:-}" ]]; then
  touch "$GITHUB_STEP_SUMMARY"
  if (($(cat "$GITHUB_STEP_SUMMARY" "$dir/report.md" | wc -c) < summary_bytes_max)); then
    cat "$dir/report.md" >> "$GITHUB_STEP_SUMMARY"
  fi
fi
