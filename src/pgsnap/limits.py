"""All limits of the program, with their reasons."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# Chunks. Large, because similarity deltas (not small chunks) make scattered updates cheap, and
# because large chunks keep the index and the recipes small: at 512 KiB a TiB is two million chunks
# (docs/decisions/deltas.md). A repository keeps the sizes that it was created with.
CHUNK_BYTES_MIN = 128 * KIB
CHUNK_BYTES_AVG = 512 * KIB
CHUNK_BYTES_MAX = 2 * MIB

# Numbers in a chunk's sketch, half of them of whole rows and half of their heads
# (docs/decisions/deltas.md).
SKETCH_VALUES = 8

# How many chunks of an earlier snapshot a section is compared with at a time: 64 GiB of data, which
# takes 20 MB of memory.
BASES_HELD_MAX = 128 * KIB
# How many sections of an earlier snapshot are held for comparison: 100 MB as Python objects.
SECTIONS_WITH_BASES_MAX = 100_000

# A pack is held in memory while it is filled, and is one PUT on an object store.
PACK_BYTES = 16 * MIB
# Packs that a writer to a remote store holds: those that are filled, and those being sent.
WRITER_BYTES_MAX = 4 * PACK_BYTES
# Whole packs that are being copied: four, as many as such tools copy files at a time.
COPIED_BYTES_IN_FLIGHT = 4 * PACK_BYTES
# Packs that are being read of which only parts are wanted.
MOVED_BYTES_IN_FLIGHT = 2 * PACK_BYTES
# Frames in a pack are limited too: a delta may take a hundred bytes, but a kB of memory.
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

# Size of a piece of the section table: about 400 sections of a dump.
SECTION_TABLE_PIECE_BYTES = 64 * KIB

# How much is read from a pipe at a time; also the pipe size that is requested from the kernel.
READ_BYTES = 1 * MIB

# Longest statement that the dump lexer buffers until it is complete: a COPY statement of 1,600
# columns with names of 63 quoted bytes takes 220 kB.
HELD_BYTES_MAX = 1 * MIB

# How much a worker takes at a time: below 16 chunks the threads contend for the GIL.
BATCH_BYTES = 4 * MIB
# Batches in flight: two being processed and two queued, so that no core is idle.
BATCHES_IN_FLIGHT = 4

# With more tables a commit reads everything: what it knows of each of them takes 2 kB of memory.
CHANGES_TABLES_MAX = 30_000
# How often everything is read though only changes had to be.
FULL_EVERY_SECONDS = 7 * 86_400.0
# Tables with a block of more text are read as a whole, which holds no row in memory.
BLOCK_TEXT_BYTES_MAX = 4 * MIB
# At how many places a commit reads again what it takes for unchanged.
PROBES = 3

# Tables with fewer bytes are loaded in the stream of a restore: to start a psql takes 20 ms.
ASIDE_BYTES_MIN = 1 * MIB
# What --any-order loads over several connections: a smaller table keeps nobody waiting.
ANY_ORDER_BYTES_MIN = 16 * MIB
# More jobs than that load no faster on any server that was measured, but lock each other out.
JOBS_MAX = 64

# Each warm copy is as large as its database.
WARM_MAX = 16
# So is each replaced database.
KEPT_MAX = 16

# Deltas against deltas: how far a chunk may be from a plain frame (docs/decisions/deltas.md).
DELTA_SHORT_STEPS_MIN = 8
DELTA_SHORT_STEPS = 15
DELTA_LONG_STEPS = 2
# A delta chain is followed at most this far, whatever the stored depth is.
DELTA_DEPTH_MAX = 64
# Edits of one frame: more of them are better searched for matches, and take a reader long.
EDITS_MAX = 65_536

# Maximum size of a small object (config, manifest, tag, note): a larger one is damage, not data,
# and is not read. A manifest of this size has room for some 100,000 role names.
RECORD_BYTES_MAX = 16 * MIB
# The largest pack table that a reader accepts: four times what a writer produces.
PACK_FRAMES_READ_MAX = 4 * PACK_FRAMES_MAX
PACK_TABLE_BYTES_MAX = PACK_FRAMES_READ_MAX * 128
# Upper bound for the pack size in a config, since a writer holds a pack in memory.
PACK_BYTES_MAX = 256 * MIB
# Maximum size of a recipe node: one of 1,024 entries with sketches takes 82 kB.
NODE_BYTES_MAX = 256 * KIB
# Maximum size of a section table's piece: 64 KiB plus one section, whose name may be long.
PIECE_BYTES_MAX = 1 * MIB
# Maximum size of a snapshot: eight of PostgreSQL's largest tables.
SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024 * MIB
# Maximum number of its sections; pg_dump needs some 8 kB of memory per table, a reader 1 kB.
SECTIONS_MAX = 1_000_000
# Maximum size of a block map or baseline: of a table of 4 TiB. A larger one is not read.
SIDE_BYTES_MAX = 4 * 1024 * MIB
# A list of leaves is stored if it takes at most this share of the text (one in so many bytes).
LEAF_LIST_SHARE = 256
# How many of the tables that a commit read in full its manifest names, with the reasons.
FULL_READS_LISTED_MAX = 100
# A recipe of more chunks than this must have chunks of at least this size on average: otherwise a
# reader would work endlessly for next to no data. Writers make no chunk smaller than
# CHUNK_BYTES_MIN except the last.
RECIPE_CHUNKS_FREE = 4096
RECIPE_CHUNK_BYTES_LEAST = 256
# Maximum size of text that is read into memory at once (definitions, never rows): enough for
# 500,000 tables.
WHOLE_TEXT_BYTES_MAX = 1024 * MIB
# Maximum number of lines taken out of a dump's text: normally four, plus some from its roles.
VOLATILE_LINES_MAX = 1000
# Maximum size of a decompressed frame: a longer one is damage, not data.
PLAIN_BYTES_MAX = 16 * MIB
# What sealing adds to a frame or a table: the tag of AES-GCM.
SEAL_BYTES = 16

# How slow a guess of a passphrase is: 0.2 s and 64 MiB here (RFC 9106, second recommendation).
ARGON2_PASSES = 3
ARGON2_MEMORY_KIB = 64 * KIB
ARGON2_LANES = 4
# What a stored slot may ask of its reader: 3 s, within the memory that a command has.
ARGON2_PASSES_MAX = 10
ARGON2_MEMORY_KIB_MAX = 256 * KIB
ARGON2_LANES_MAX = 16
KEY_FILE_BYTES_MIN = 32
KEY_FILE_BYTES_MAX = 64 * KIB
# One rotation a day for 27 years; a slot holds all keys.
KEY_EPOCHS_MAX = 10_000
KEY_SLOT_BYTES_MAX = 1 * MIB
# All are read to find the one that fits, and each may take a reader seconds.
KEY_SLOTS_MAX = 100

MESSAGE_BYTES_MAX = 64 * KIB
TAG_BYTES_MAX = 200
LABEL_BYTES_MAX = 200
# A shorter prefix of a snapshot id is treated as a mistake.
ID_PREFIX_MIN = 4

LOCK_TIMEOUT_SECONDS = 600.0
# For pg_dump's own locks: a migration that holds a table this long is reported, not waited for.
LOCK_WAIT_TIMEOUT_SECONDS = 600.0

# How often pg_dump is started when tables are rewritten between its snapshot and its locks. The gap
# is a fraction of a second: a job that hits it this often in a row is running all the time.
DUMP_ATTEMPTS = 4

# Reading over connections of our own: how many requests are answered ahead, for each reader, and
# how much of one is held until its turn. A segment of 256 blocks is 1 to 4 MiB of text.
DIRECT_AHEAD = 3
DIRECT_BYTES_HELD = 4 * MIB
# The rows of changed blocks are passed on in pieces of about this size, or of one block.
DIRECT_PIECE_BYTES = 8 * MIB
# A table of which more blocks changed is read as a whole. Changed blocks are spliced into the
# former text without a search for cuts, which takes less time even where most of them changed; but
# they are listed, and named to the server one by one.
CHANGED_SHARE_MAX = 0.8

# How long a forgotten snapshot can be brought back: longer than a holiday weekend.
FORGOTTEN_GRACE_SECONDS = 7 * 86_400.0

# One query of `snap drill`'s own checks: a missing join condition must not hold up a nightly drill
# for ever.
ASSERTION_TIMEOUT_SECONDS = 300.0

# How much of a child's error output is kept, from its beginning and its end. pg_dump first reports
# what went wrong, and then repeats a statement that may name thousands of tables.
STDERR_BYTES_MAX = 64 * KIB
STDERR_HEAD_BYTES = 16 * KIB
# The list of roles is held in memory until pg_dumpall's exit status is known: some 100,000 roles.
GLOBALS_BYTES_MAX = 32 * MIB
# How long a child may take to exit after SIGTERM before it gets SIGKILL.
CHILD_GRACE_SECONDS = 5.0

# The keys of single rows that a restore puts back are recorded in a note, for the undo.
ROWS_BACK_MAX = 10_000
ROWS_BACK_BYTES_MAX = 1 * MIB

# PostgreSQL's NAMEDATALEN - 1.
IDENTIFIER_BYTES_MAX = 63
# So that "<name>__snap_kept_<10 hex>" still fits into an identifier.
SCRATCH_PREFIX_BYTES = 40

assert CHUNK_BYTES_MIN < CHUNK_BYTES_AVG < CHUNK_BYTES_MAX <= PACK_BYTES
assert CHUNK_BYTES_MAX <= PLAIN_BYTES_MAX
assert RECIPE_ENTRIES_MIN < RECIPE_ENTRIES_AVG < RECIPE_ENTRIES_MAX
