-- The schema of index.sqlite, as src/pgsnap/repository/index/migrations.py builds it; a test compares the
-- two. The index is derived: it can be deleted at any time, and is rebuilt from the repository.
-- PRAGMA application_id is "snap" once the index has held every snapshot of the store.

CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);

CREATE TABLE chunks (
            id BLOB NOT NULL,
            pack_no INTEGER NOT NULL,
            "offset" INTEGER NOT NULL,
            frame_bytes INTEGER NOT NULL,
            chunk_bytes INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            codec INTEGER NOT NULL,
            cipher INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            base BLOB,
            PRIMARY KEY (id, pack_no, "offset")
        ) WITHOUT ROWID;

CREATE TABLE copied_ids (
            old BLOB NOT NULL,
            role INTEGER NOT NULL,
            new BLOB NOT NULL,
            mark BLOB NOT NULL,
            PRIMARY KEY (old, role)
        ) WITHOUT ROWID;

CREATE TABLE "damaged" (
   "pack" BLOB,
   "offset" INTEGER,
   "readable" INTEGER NOT NULL,
   PRIMARY KEY ("pack", "offset")
);

CREATE TABLE "folder_states" (
   "states" TEXT NOT NULL
);

CREATE TABLE "forgotten" (
   "snapshot" BLOB PRIMARY KEY,
   "time_us" INTEGER NOT NULL
);

CREATE TABLE "identity" (
   "repository_id" TEXT PRIMARY KEY
);

CREATE TABLE "kept_notes" (
   "id" BLOB PRIMARY KEY,
   "data" BLOB NOT NULL
);

CREATE TABLE "last_listing" (
   "time_us" INTEGER NOT NULL,
   "number" INTEGER NOT NULL,
   "id" BLOB NOT NULL
);

CREATE TABLE listed (name TEXT PRIMARY KEY, is_logged INTEGER NOT NULL, data BLOB) WITHOUT ROWID;

CREATE TABLE "lost_snapshots" (
   "id" BLOB PRIMARY KEY,
   "manifest" BLOB NOT NULL
);

CREATE TABLE "notes" (
   "snapshot" BLOB,
   "id" BLOB,
   "kind" TEXT NOT NULL,
   "time_us" INTEGER NOT NULL,
   PRIMARY KEY ("snapshot", "id")
);

CREATE TABLE "pack_reads" (
   "pack" BLOB PRIMARY KEY,
   "time_us" INTEGER NOT NULL
);

CREATE TABLE "packs" (
   "pack_no" INTEGER PRIMARY KEY,
   "id" BLOB NOT NULL,
   "pack_bytes" INTEGER NOT NULL,
   "frames" INTEGER NOT NULL
, "epoch" INTEGER, "salt" BLOB);

CREATE TABLE "publications" (
   "number" INTEGER PRIMARY KEY,
   "id" BLOB NOT NULL,
   "data" BLOB NOT NULL
);

CREATE TABLE "snapshots" (
   "id" BLOB PRIMARY KEY,
   "database" BLOB NOT NULL,
   "time_us" INTEGER NOT NULL,
   "manifest" BLOB NOT NULL
, "server" TEXT NOT NULL DEFAULT '', "alias" BLOB);

CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");

CREATE UNIQUE INDEX "idx_packs_id"
    ON "packs" ("id");

CREATE INDEX "idx_snapshots_alias" ON snapshots (alias) WHERE alias IS NOT NULL;

CREATE INDEX "idx_snapshots_database_server_time_us_id"
    ON "snapshots" ("database", "server", "time_us", "id");

CREATE INDEX "idx_snapshots_database_time_us"
    ON "snapshots" ("database", "time_us");

PRAGMA user_version = 10;
