#!/usr/bin/env python3
"""Makes the hand-written part of tests/fuzz/corpus: the shortest form of every input that once was a defect, and one
plain file of each kind. Needs ffmpeg for the encoded audio. Findings of later fuzzing are added beside these by hand."""
import json
import pathlib
import struct
import subprocess
import zipfile

HERE = pathlib.Path(__file__).resolve().parent / "corpus"


def write(name, content):
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def box(kind, body):
    return struct.pack(">I4s", len(body) + 8, kind) + body


def mp4(table):
    return box(b"ftyp", b"isom") + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table)))))


def audio():
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n"
    write("audio/live.m3u8", head + "#EXTINF:10,\na.mp3\n")
    write("audio/self.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8\n")
    write("audio/absolute.m3u8", head + "#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    write("audio/concat.txt", "ffconcat version 1.0\nfile a.wav\n")
    write("audio/session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n")
    write("audio/dash.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="x"></MPD>')
    write("audio/many_packets.mp4", mp4(box(b"stsz", struct.pack(">III", 0, 16, 0x7FFFFFFF))))
    write("audio/long_runs.mp4", mp4(box(b"stts", struct.pack(">IIII", 0, 1, 0x7FFFFFFF, 1))))
    for name, codec in (("sine.wav", ["-c:a", "pcm_s16le"]), ("sine24.wav", ["-c:a", "pcm_s24le", "-ac", "2"]),
                        ("float.wav", ["-c:a", "pcm_f32le"]), ("sine.flac", []), ("sine.aiff", []),
                        ("sine.m4a", ["-c:a", "aac", "-b:a", "32k"]), ("sine.mp3", ["-b:a", "32k"]),
                        ("pcm.mov", ["-c:a", "pcm_s16be"]), ("fragmented.mp4", ["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"]),
                        ("sine.mka", ["-c:a", "flac"])):
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-fflags", "+bitexact", "-f", "lavfi", "-i", "sine=440:d=0.08:r=16000",
                        *codec, "-map_metadata", "-1", "-flags:a", "+bitexact", HERE / "audio" / name], check=True)


def toml():
    write("toml/deep_key.toml", ".".join(["a"] * 20000) + " = 1\n")
    write("toml/deep_header.toml", "[" + ".".join(["a"] * 30000) + "]\n")
    write("toml/deep_list.toml", "a = " + "[" * 5000 + "]" * 5000 + "\n")
    write("toml/deep_inline.toml", "a = " + "{a.a.a.a.a.a = " * 500 + "1" + "}" * 500 + "\n")
    write("toml/many_keys.toml", "".join(f"k{i} = {i}\n" for i in range(3000)))
    write("toml/plan.toml", '# A plan.\n[run]\ndataset = "synthetic:songs=2,seconds=2,seed=3"\nsubset = "test"\n'
          'methods = ["mixture", \'nmf:components=4,alpha=2\', """irm2"""]\nseeds = [0, 1]\nout = "run"\nwindow_s = 1.0\n'
          'hop_s = 0.5\njobs = 2\nmemory_gb = 1.5\nsave_estimates = false\n')
    write("toml/strings.toml", 'a = "....\\u00e9\\n"\nb = \'....\'\nc = """\n"..."\n"""\nd = \'\'\'...\'\'\'\'\n[t."x.y"]\nz.\'w\' = {u.v = [1.5, {q = 2}]}\n')


def records():
    key = {"schema": 1, "dataset": "d", "subset": "test", "track": "t", "spec": "irm2", "scenario": "stems", "seed": 0,
           "target": "vocals"}
    body = {"scores": {"SDR": 1.5, "SI-SDR": "inf", "SAR": None}, "mean": {"SDR": 1.25},
            "frames": {"window_s": 1.0, "hop_s": 1.0, "count": 2, "dropped": {"total": 1, "silent_reference": 1,
                       "silent_estimate": 0, "anti_phase": 0}, "values": {"SDR": [1.5, None], "SAR": ["-inf", None]}},
            "silent_reference": False, "silent_estimate": False, "version": "0.1.0", "revision": "0", "isa": "avx2",
            "oracle": True, "floor": False, "random": False, "protocol": "", "options": {"filters": []}, "weights": None,
            "dataset_stems": ["vocals", "drums"], "unscored_targets": [], "fingerprint": "0" * 64, "samples": 88200,
            "rate_hz": 44100, "channels": 2, "erratum": "", "measured": {"wall_s": 0.1}}
    error = {"error": {"code": "io", "message": "m", "where": "w", "what": "x", "expected": "", "found": "", "hint": ""}}

    def line(*parts):
        return json.dumps({k: v for part in parts for k, v in part.items()}, separators=(",", ":")) + "\n"

    write("records/plain.jsonl", line(key, body) + "\n" + line(key, {"target": "drums"}, body))
    write("records/failed.jsonl", line(key, {"scenario": "", "target": ""}, error))
    write("records/hostile_text.jsonl", line(key, {"track": "\x1b[2J\n=1+1\u202e", "spec": "a|b`c`"}, body,
                                             {"version": "1\n\\input{/etc/passwd}", "isa": "<script>"}))
    write("records/many_keys.jsonl", line(key, body, {"options": {f"k{i}": i for i in range(3000)}}))
    write("records/deep.jsonl", line(key, body).replace('"filters":[]', '"filters":' + "[" * 300 + "]" * 300))


def museval():
    frame = {"time": 0.0, "duration": 1.0, "metrics": {"SDR": 1.23456, "SIR": float("nan"), "SAR": -0.5, "ISR": float("inf")}}
    write("museval/plain.museval", json.dumps({"targets": [{"name": "vocals", "frames": [frame, frame]},
                                                            {"name": "drums", "frames": []}], "museval_version": "0.4.1"}, indent=2))
    write("museval/many_nan.museval", '{"targets": [{"name": "a", "frames": [' + ",".join(
        ['{"time":0.0,"duration":1.0,"metrics":{"SDR":NaN,"SIR":NaN,"SAR":NaN,"ISR":-Infinity}}'] * 400) + "]}]}")


def safetensors():
    header = ('{"__metadata__":{' + ",".join(f'"k{i}":""' for i in range(4000)) + "}}").encode()
    write("safetensors/many_keys.safetensors", struct.pack("<Q", len(header)) + header)


def pickled_text(text):
    return b"X" + struct.pack("<I", len(text)) + text


def expanded(count):
    """A state dict of `count` tensors that see one element as 2^26."""
    out = b"\x80\x02}("
    for i in range(count):
        out += pickled_text(b"t%d" % i) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        out += pickled_text(b"storage") + b"ctorch\nFloatStorage\n" + pickled_text(b"0") + pickled_text(b"cpu") + b"K\x01tQ"
        out += b"K\x00J" + struct.pack("<i", 1 << 26) + b"\x85K\x00\x85\x89}tR"
    return out + b"u."


def pytorch():
    path = HERE / "pytorch" / "expanded.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("m/data.pkl", expanded(20)), ("m/data/0", b"\0\0\x80\x3f"), ("m/version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def pickles():
    for number, (module, name) in enumerate([("torch.utils.collect_env", "run"), ("torch.fx.graph", "_exec_with_source"),
                                             ("torch._inductor.codecache", "compile_file"), ("platform", "popen"),
                                             ("weakref", "finalize")]):
        write(f"pickle/called_{number}.pkl", b"\x80\x02c" + f"{module}\n{name}\n".encode() + pickled_text(b"id") + b"\x85R.")
    write("pickle/attribute.pkl", b"\x80\x04\x8c\x07pathlib\x8c\x0fPath.write_text\x93)R.")
    write("pickle/comma.pkl", b"F1,5\n.")


for make in (audio, toml, records, museval, safetensors, pytorch, pickles):
    make()
