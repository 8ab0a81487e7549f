"""Every bound of the program, with its reason."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# Chunks. Large, because similarity deltas (not small chunks) make scattered updates cheap, and
# because the index and the recipes shrink with them: at 512 KiB a TiB is two million chunks
# (docs/decisions/deltas.md). A repository keeps the sizes that it was made with.
CHUNK_BYTES_MIN = 128 * KIB
CHUNK_BYTES_AVG = 512 * KIB
CHUNK_BYTES_MAX = 2 * MIB

# Numbers in a chunk's sketch, half of them of whole rows and half of their heads
# (docs/decisions/deltas.md).
SKETCH_VALUES = 8

# Chunks of an earlier snapshot that a section is compared with at a time: 64 GiB of it, in 20 MB of
# our memory.
BASES_HELD_MAX = 128 * KIB
# Sections of an earlier snapshot that are held for comparison: 100 MB in Python's words.
SECTIONS_WITH_BASES_MAX = 100_000

# A pack is held in memory while it is filled, and is one PUT on an object store.
PACK_BYTES = 16 * MIB
# Nor does a pack hold more frames: deltas may take a hundred bytes each, and in our memory a kB.
PACK_FRAMES_MAX = 16_384

# On application data level 2 stores 1 % more than level 3 in three quarters of the time, level 1
# 6 % more in little more than half of it (benchmarks/README.md, "Compression level").
ZSTD_LEVEL = 2

# Recipe nodes: small enough that one changed chunk rewrites little, large enough that a tree of
# 100 GiB is three levels deep. Entries per node.
RECIPE_ENTRIES_MIN = 64
RECIPE_ENTRIES_AVG = 256
RECIPE_ENTRIES_MAX = 1024
RECIPE_LEVELS_MAX = 8

# A piece of the section table: about 400 sections of a dump.
SECTION_TABLE_PIECE_BYTES = 64 * KIB

# What is read from a pipe at a time, and asked of the kernel as the pipe's size.
READ_BYTES = 1 * MIB

# What the lexer of dumps holds back until it is whole: a COPY statement of 1,600 columns with names
# of 63 quoted bytes takes 220 kB.
HELD_BYTES_MAX = 1 * MIB

# What a worker takes at a time: below 16 chunks the threads fight over the interpreter lock.
BATCH_BYTES = 4 * MIB
# Batches under way at once: two at work, and as many waiting, so that no core starves.
BATCHES_IN_FLIGHT = 4

# Deltas against deltas: how far a chunk may be from a plain frame (docs/decisions/deltas.md).
DELTA_SHORT_STEPS = 15
DELTA_LONG_STEPS = 2
# A delta chain is followed at most this far, whatever a stored depth says.
DELTA_DEPTH_MAX = 64

# No small object (config, manifest, tag, note) is larger; a larger one is damage, not data, and is
# not read. A manifest names some 100,000 roles in it.
RECORD_BYTES_MAX = 16 * MIB
# What a reader takes for a pack's table: four times what a writer makes of it.
PACK_FRAMES_READ_MAX = 4 * PACK_FRAMES_MAX
PACK_TABLE_BYTES_MAX = PACK_FRAMES_READ_MAX * 128
# More than a config may ask a writer to hold.
PACK_BYTES_MAX = 256 * MIB
# No list of chunks is longer: a node of 1,024 entries with sketches takes 82 kB.
NODE_BYTES_MAX = 256 * KIB
# A piece of a section table has 64 KiB and a section, whose name may be long.
PIECE_BYTES_MAX = 1 * MIB
# No snapshot holds more: eight of PostgreSQL's largest tables.
SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024 * MIB
# Nor more sections; pg_dump needs some 8 kB of memory for each table, a reader 1 kB.
SECTIONS_MAX = 1_000_000
# A recipe has this many chunks, or chunks of this size on average: else who reads it would work
# without end for next to nothing. Writers make none of less than CHUNK_BYTES_MIN but the last.
RECIPE_CHUNKS_FREE = 4096
RECIPE_CHUNK_BYTES_LEAST = 256
# What is read whole (definitions, never rows): those of 500,000 tables.
WHOLE_TEXT_BYTES_MAX = 1024 * MIB
# Lines that are taken out of a dump's text: four, and some of its roles'.
VOLATILE_LINES_MAX = 1000
# A frame never expands to more than this: a longer one is damage, not data.
PLAIN_BYTES_MAX = 16 * MIB

MESSAGE_BYTES_MAX = 64 * KIB
TAG_BYTES_MAX = 200
LABEL_BYTES_MAX = 200
# A shorter prefix of a snapshot id is taken for a mistake.
ID_PREFIX_MIN = 4

LOCK_TIMEOUT_SECONDS = 600.0
# pg_dump's own locks: a migration that holds a table this long is told about, not waited for.
LOCK_WAIT_TIMEOUT_SECONDS = 600.0

# How often pg_dump is started where tables are rewritten between its snapshot and its locks. The
# gap is a fraction of a second: who hits it so often in a row is at work all the time.
DUMP_ATTEMPTS = 4

# How long a forgotten snapshot can be brought back: longer than a holiday weekend.
FORGOTTEN_GRACE_SECONDS = 7 * 86_400.0

# One query of `snap drill`'s own checks: a forgotten join must not keep a nightly drill for ever.
ASSERTION_TIMEOUT_SECONDS = 300.0

# What is kept of a child's error output: its beginning and its end. pg_dump says first what went
# wrong, and then repeats a statement that may name thousands of tables.
STDERR_BYTES_MAX = 64 * KIB
STDERR_HEAD_BYTES = 16 * KIB
# The list of roles is held in memory until pg_dumpall's exit status is known: some 100,000 roles.
GLOBALS_BYTES_MAX = 32 * MIB
# How long a child may take to die after SIGTERM before it is killed.
CHILD_GRACE_SECONDS = 5.0

# PostgreSQL's NAMEDATALEN - 1.
IDENTIFIER_BYTES_MAX = 63
# So that "<name>__snap_kept_<10 hex>" still fits into an identifier.
SCRATCH_PREFIX_BYTES = 40

assert CHUNK_BYTES_MIN < CHUNK_BYTES_AVG < CHUNK_BYTES_MAX <= PACK_BYTES
assert CHUNK_BYTES_MAX <= PLAIN_BYTES_MAX
assert RECIPE_ENTRIES_MIN < RECIPE_ENTRIES_AVG < RECIPE_ENTRIES_MAX
