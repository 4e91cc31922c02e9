#!/usr/bin/env bash
# Leaves the report as a comment on the pull request, or puts it in place of the one that is there:
# the one whose first line is the same. What goes wrong here is a warning; the gate's answer is not
# changed by it.
set -euo pipefail

warn() {
  echo "::warning title=armspan::no comment was left: $1"
  exit 0
}
api="${GITHUB_API_URL:-https://api.github.com}/repos/$GITHUB_REPOSITORY/issues"
number="$INPUT_PULL_REQUEST"
if [[ -z "$number" && -f "${GITHUB_EVENT_PATH:-}" ]]; then
  number="$(jq -r '.pull_request.number // (.issue | select(.pull_request) | .number) // empty' "$GITHUB_EVENT_PATH")"
fi
[[ -n "$number" ]] || { echo "no comment: this is no event of a pull request"; exit 0; }
[[ "$number" =~ ^[0-9]+$ ]] || warn "pull-request is a number"
[[ -n "$INPUT_GITHUB_TOKEN" ]] || warn "there is no token; give github-token"
[[ -s "${REPORT:-}" ]] || warn "there is no report"
dir="$(mktemp -d "${RUNNER_TEMP:-/tmp}/armspan.XXXXXX")"
trap 'rm -rf "$dir"' EXIT

# call METHOD URL [CURL ARGUMENTS]: the answer is in $dir/answer, its status is printed. The token
# is not on the command line, which other processes can read.
call() {
  local method="$1" url="$2"
  shift 2
  curl --silent --show-error --max-time 30 --request "$method" --output "$dir/answer" --write-out '%{http_code}' \
    --header 'Accept: application/vnd.github+json' --header 'X-GitHub-Api-Version: 2022-11-28' \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$INPUT_GITHUB_TOKEN") "$@" "$url" || true
}
said() { jq -r '.message // empty' "$dir/answer" 2> /dev/null | tr -d '\r\n' | head -c 300 || true; }

marker="$(head -n 1 "$REPORT")"
jq -Rs '{body: .}' "$REPORT" > "$dir/body"
page=1
while :; do
  status="$(call GET "$api/$number/comments?per_page=100&page=$page" --retry 3)"
  [[ "$status" == 200 ]] || warn "the list of comments was answered with $status $(said)"
  jq -r --arg marker "$marker" '.[] | select((.body // "" | split("\n")[0] | rtrimstr("\r")) == $marker) | .id' \
    "$dir/answer" >> "$dir/ids"
  (($(jq length "$dir/answer") == 100)) || break
  page=$((page + 1))
done
while read -r id; do
  status="$(call PATCH "$api/comments/$id" --retry 3 --data "@$dir/body")"
  [[ "$status" != 200 ]] || { echo "the comment was updated"; exit 0; }
  # Somebody else may have written the same first line: that comment is not ours to change.
  [[ "$status" == 403 || "$status" == 404 ]] || warn "the update was answered with $status $(said)"
done < "$dir/ids"
status="$(call POST "$api/$number/comments" --data "@$dir/body")"
[[ "$status" == 201 ]] || warn "the comment was answered with $status $(said)"
echo "a comment was left"
