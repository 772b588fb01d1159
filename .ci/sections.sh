# For .ci/run and .ci/nightly: what they print and count. LOGS names the folder for what each section prints.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CI=true
exec </dev/null
rm -rf "$LOGS"
mkdir -p "$LOGS"

section() { # TITLE COMMAND...
    local title=$1 log="$LOGS/$1.log" started=$SECONDS verdict=good
    shift
    local TIMEFORMAT="%U %S"
    { time "$@" >"$log" 2>&1; } 2>"$log.processor" || verdict=FAILED
    [ "$verdict" = good ] || echo "$title" >>"$LOGS/failed"
    {
        flock 9
        printf '\n======== %s ========\n' "$title"
        cat "$log"
        printf -- '-------- %s: %s, %d s, %d s of a processor\n' "$title" "$verdict" $((SECONDS - started)) \
            "$(awk 'END {print int($1 + $2)}' "$log.processor")"
    } 9>"$LOGS/lock"
}

# The sum over pytest's summary lines. A section that failed without a failing test counts as one.
count() { grep -ahE '^(=+ )?[0-9]+ (passed|failed|error|skipped).* in [0-9.]+s' "$LOGS"/*.log | grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }

summary() { # the last line; false if anything failed
    local bad=$(($(count failed) + $(count error))) sections=0
    [ ! -e "$LOGS/failed" ] || sections=$(wc -l <"$LOGS/failed")
    [ "$sections" -le "$bad" ] || bad=$sections
    echo
    [ "$sections" -eq 0 ] || echo "failed: $(paste -sd, "$LOGS/failed")"
    echo "$(count passed) passed, $bad failed, $(count skipped) skipped, in $((SECONDS / 60)) min"
    [ "$bad" -eq 0 ]
}
