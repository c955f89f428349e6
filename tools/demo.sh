#!/usr/bin/env bash
# The whole way on two drawn road worlds: a teacher, constrained relabelling, a student, a bundle, frames.
# Prints each `lsu` command that it runs, so it is the tutorial too. Argument: the output folder.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-demo-out}
if [ -e "$out" ]; then
  echo "demo.sh: $out is there already: remove it, or name another folder" >&2
  exit 2
fi
tools/develop.sh cpu,train,export
begin=$SECONDS
mkdir -p "$out"
export PATH="$PWD/.venv/bin:$PATH" OMP_WAIT_POLICY=passive

run() {
  printf '\n\033[1m$ %s\033[0m\n' "$*"
  "$@"
}

# The configuration of a fit: its name, then the data sets to learn from.
config() {
  local name=$1
  shift
  {
    echo "output = \"$name\""
    for dataset in "$@"; do printf '\n[[data]]\ndataset = "%s"\nsplit = "train"\n' "$dataset"; done
    cat <<'TOML'

[network]
architecture = "segformer"
encoder = "tu-regnetx_002"

[fit]
steps = 400
batch_size = 8
crop = [96, 160]
scale = [0.8, 1.6]
learning_rate = 4e-3
colour_jitter = 0.4
white_balance = 0.3
TOML
  } >"$out/$name.toml"
  printf '\n\033[2m%s:\033[0m\n' "$out/$name.toml"
  sed 's/^/    /' "$out/$name.toml"
}

run lsu synth "$out/worlds"

config teacher worlds/a
run lsu fit "$out/teacher.toml"
run lsu export onnx "$out/teacher/checkpoint.safetensors" -o "$out/teacher/bundle" --size 128x192

relabel=(lsu relabel "$out/teacher/bundle" --data "$out/worlds/b" --split train
  --relation "$out/worlds/b_to_a.toml" --views flip)
run "${relabel[@]}" --free --out "$out/b_free"
run "${relabel[@]}" --out "$out/b_constrained"

config student_free worlds/a b_free
config student_constrained worlds/a b_constrained
config student_truth worlds/a worlds/b_truth
for student in student_free student_constrained student_truth; do
  run lsu fit "$out/$student.toml"
  run lsu export onnx "$out/$student/checkpoint.safetensors" -o "$out/$student/bundle" --size 128x192
done

for network in teacher student_free student_constrained student_truth; do
  printf '\n\033[1m$ lsu evaluate %s --data %s --split test --json > %s\033[0m\n' \
    "$out/$network/bundle" "$out/worlds/test" "$out/$network.json"
  lsu evaluate "$out/$network/bundle" --data "$out/worlds/test" --split test --json >"$out/$network.json"
done

run lsu inspect "$out/student_constrained/bundle"
run lsu run "$out/student_constrained/bundle" --source "$out/worlds/test/images/test" --output "$out/frames"

python tools/demo_report.py "$out"
echo "All of it took $((SECONDS - begin)) s after the install."
