# Functions that race.sh and races.sh share. They work in the folder $race.

# A Python environment with these packages.
race_python() {
    local ready="$race/venv/ready-$(printf '%s\n' "$@" | cksum | cut -d' ' -f1)"
    [ -e "$ready" ] && return
    [ -e "$race/venv/bin/python" ] || python3 -m venv "$race/venv"
    "$race/venv/bin/pip" install --quiet "$@"
    touch "$ready"
}

# The command, built if not given as $CONJOINT.
race_conjoint() {
    if [ -z "${CONJOINT:-}" ]; then
        cargo build --release -p conjoint-cli
        CONJOINT=${CARGO_TARGET_DIR:-target}/release/conjoint
    fi
}

# A random model of the sizes D,LAYERS,FFN,HEADS,KV,VOCAB.
race_model() {
    [ -d "$race/model" ] || "$CONJOINT" bench --make-model "$1" "$race/model"
}
