/* What a run of a guest does between two turns of the event loop, without Python. Built by tools/build_library.py. */

const char *sandbox_source(void);

/* The SHA-256 of this source, in hex: `aerofn/runtime/native.py` compares it with the file beside it. */
const char *sandbox_source(void) {
    return SOURCE_DIGEST;
}
