#!/bin/sh
# What a GPU does with the published protocol: from the root of a checkout, with metaplax and jax[cuda] installed.
#
#   sh benchmarks/gpu.sh              everything, on one GPU
#   sh benchmarks/gpu.sh --tiny       the same commands with tiny sizes, to try the script on a CPU
#
# Writes JSON and logs into benchmarks/gpu-results/.
set -eu
out=${OUT:-benchmarks/gpu-results}
launches="1 16 64 256 1024"
case="" path="" presets="shervani2023/fig3 shervani2023/fig4 shervani2023/discover" preset=paper repeats=9
if [ "${1:-}" = --tiny ]; then
    launches="1 4"
    case="--sizes 784 20 47 --shots 2"
    path="--sizes 784 20 47 --shots 2 --queries 1 --meta-steps 3 --trials 2"
    presets=quickstart preset=smoke repeats=2
fi
mkdir -p "$out"
python -c 'import jax; print(*jax.devices())' | tee "$out/devices.txt"

# F_bio, exact gradients: episodes per second by episodes per launch (estimate from bandwidth: 1,300/s from 64 on).
for layout in auto vmap; do
    # shellcheck disable=SC2086
    python -m metaplax bench $case --rule f_bio --estimators reversible --episodes $launches --layout $layout \
        --repeats $repeats --json > "$out/episodes-$layout.json"
    python - "$out/episodes-$layout.json" <<'END'
import json, sys
for row in json.load(open(sys.argv[1]))["rows"]:
    print(f"{row['episodes']:5d} episodes per launch: {1 / row['wall_seconds']:8.1f} episodes/s,"
          f" {row['temporary_bytes'] / 1e6:.0f} MB")
END
done

# Five penalties x 20 trials of 600 meta-steps, one penalty after the other and all in one launch.
for choice in no yes; do
    log="$out/fig4-path-together-$choice"
    # shellcheck disable=SC2086
    ( time -p python -m metaplax run shervani2023/fig4-path --preset paper --data glyphs $path --together $choice \
        --out "$out/runs" --json ) > "$log.json" 2> "$log.log"
    echo "fig4-path --together $choice: $(grep real "$log.log")"
done

# Paper presets that fit the memory of the device; those that do not are refused by a sentence before they compile.
for name in $presets; do
    echo "$name"
    ( time -p python -m metaplax run "$name" --preset $preset --data glyphs --out "$out/runs" --json ) \
        > "$out/$(echo "$name" | tr / -).json" 2> "$out/$(echo "$name" | tr / -).log" || true
    tail -n 3 "$out/$(echo "$name" | tr / -).log"
done
