# Sourced by the scripts beside it: noise FILE SECONDS writes 16-bit stereo noise at 44.1 kHz as a WAV file,
# noise_stems FOLDER SECONDS a folder of four such stems.

# le BYTES NUMBER: a little-endian number.
le() { local i; for ((i = 0; i < $1; ++i)); do printf "\\x$(printf %02x $((($2 >> (8 * i)) & 255)))"; done; }
noise() {
  local bytes=$(($2 * 44100 * 4))
  { printf 'RIFF'; le 4 $((bytes + 36)); printf 'WAVEfmt '; le 4 16; le 2 1; le 2 2; le 4 44100; le 4 176400; le 2 4; le 2 16
    printf 'data'; le 4 "$bytes"; head -c "$bytes" /dev/urandom; } >"$1"
}
noise_stems() {
  local stem
  mkdir "$1"
  for stem in vocals drums bass other; do noise "$1/$stem.wav" "$2"; done
}
