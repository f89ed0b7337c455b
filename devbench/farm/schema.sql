-- The tables of a farm, next to procrastinate's, in the schema `farm`. Run once, after procrastinate's own schema.
-- `_UPGRADES` in database.py changes the tables of an existing farm.
-- Hosts and submitters have no rights on tables that they could misuse: they call the functions of `functions.sql`.

DO $$ DECLARE one text; BEGIN
  FOREACH one IN ARRAY ARRAY['devbench_submitter', 'devbench_host', 'devbench_keeper', 'devbench_admin'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', one); END IF;
  END LOOP;
END $$;

CREATE TABLE version (number int NOT NULL);

-- `storage` is the address of the files; hosts read files from nowhere else.
CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE hosts (
  name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$'),
  role name NOT NULL UNIQUE,
  worker bigint,                      -- of procrastinate_workers: the process that serves the host now
  seen_utc timestamptz,
  devbench text NOT NULL DEFAULT '',
  clock_offset_s double precision,    -- the host's clock minus the database's
  draining boolean NOT NULL DEFAULT false
);

-- Which host has which phone. A new phone belongs to the host that first offers it; only an admin moves it.
CREATE TABLE phones (
  device text PRIMARY KEY CHECK (length(device) BETWEEN 1 AND 80),
  host text NOT NULL REFERENCES hosts,
  wanted_by text REFERENCES hosts,    -- another host where it is connected; it waits for an admin
  present boolean NOT NULL DEFAULT false,
  seen_utc timestamptz NOT NULL DEFAULT now(),
  facts jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(facts) <= 8192),
  turn bigint NOT NULL DEFAULT 0      -- of the last job that began, for the fair share between users
);
CREATE INDEX ON phones (host);

CREATE TABLE quarantine (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device text NOT NULL REFERENCES phones,
  why text NOT NULL CHECK (length(why) BETWEEN 1 AND 500),
  by_role name NOT NULL,
  since_utc timestamptz NOT NULL DEFAULT now(),
  until_utc timestamptz,              -- it ends by itself
  ended_utc timestamptz
);
CREATE INDEX ON quarantine (device) WHERE ended_utc IS NULL;

CREATE TABLE submissions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  suite text NOT NULL CHECK (length(suite) BETWEEN 1 AND 200),
  submitter name NOT NULL,
  created_utc timestamptz NOT NULL DEFAULT now(),
  job jsonb NOT NULL CHECK (jsonb_typeof(job) = 'object' AND octet_length(job::text) <= 262144),
  wanted jsonb NOT NULL CHECK (jsonb_typeof(wanted) = 'object' AND octet_length(wanted::text) <= 4096),
  phones int CHECK (phones BETWEEN 1 AND 100000),       -- NULL: each that matches
  priority int NOT NULL CHECK (priority BETWEEN -100 AND 100),
  every text NOT NULL CHECK (every IN ('', 'night')),
  night text NOT NULL DEFAULT '' CHECK (length(night) <= 40),  -- the night that it is for, of `devbench nightly --farm`
  due_utc timestamptz,                -- of the next round; NULL: no more
  reported_utc timestamptz
);
CREATE INDEX ON submissions (due_utc) WHERE due_utc IS NOT NULL;
CREATE UNIQUE INDEX ON submissions (suite, night) WHERE night <> '';

-- A suite on a phone, once: one run in the store. The number is that of procrastinate's job.
CREATE TABLE jobs (
  id bigint PRIMARY KEY REFERENCES procrastinate_jobs,
  submission bigint NOT NULL REFERENCES submissions,
  round int NOT NULL,
  device text NOT NULL REFERENCES phones,
  submitter name NOT NULL,
  run_id text NOT NULL UNIQUE,
  turn bigint NOT NULL,
  created_utc timestamptz NOT NULL DEFAULT now(),
  ended_utc timestamptz,
  end_reason text NOT NULL DEFAULT '',
  delivered_bytes bigint NOT NULL DEFAULT 0 CHECK (delivered_bytes <= 536870912),
  stored boolean NOT NULL DEFAULT false,   -- its end is in the results store
  UNIQUE (submission, round, device)
);
CREATE INDEX ON jobs (device, submitter, turn);
CREATE INDEX ON jobs (id) WHERE NOT stored;

-- A job on a host. The token is also that of the lease on the phone. `ended_utc`: the token is not valid any more.
CREATE TABLE attempts (
  token text PRIMARY KEY,
  job bigint NOT NULL REFERENCES jobs,
  number int NOT NULL,
  host text NOT NULL REFERENCES hosts,
  worker bigint NOT NULL,
  began_utc timestamptz NOT NULL DEFAULT now(),
  ended_utc timestamptz,
  outcome text NOT NULL DEFAULT '' CHECK (length(outcome) <= 4000),
  failed boolean NOT NULL DEFAULT false,
  UNIQUE (job, number)
);
CREATE INDEX ON attempts (host) WHERE ended_utc IS NULL;

-- What hosts delivered: a repetition once, whichever attempt made it. `number` is that of the case in the run.
CREATE TABLE results (
  id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  job bigint NOT NULL REFERENCES jobs,
  number int NOT NULL CHECK (number BETWEEN 0 AND 100000),
  purpose text NOT NULL CHECK (purpose IN ('latency', 'profile', 'outputs', 'cold', 'end')),
  index int NOT NULL CHECK (index BETWEEN 0 AND 100000),
  token text NOT NULL REFERENCES attempts,
  host text NOT NULL,
  received_utc timestamptz NOT NULL DEFAULT now(),
  payload bytea NOT NULL CHECK (octet_length(payload) <= 4194304),
  raw_sha256 text NOT NULL DEFAULT '' CHECK (raw_sha256 ~ '^([0-9a-f]{64})?$'),
  problem text NOT NULL DEFAULT '',   -- why the keeper did not store it
  stored boolean NOT NULL DEFAULT false,
  PRIMARY KEY (job, number, purpose, index)
);
CREATE INDEX ON results (id) WHERE NOT stored;

-- procrastinate looks for other jobs of a phone, and for jobs of a queue; its own indexes begin with the job's number.
CREATE INDEX farm_jobs_of_phone ON procrastinate_jobs (lock, priority DESC, id) WHERE status IN ('todo', 'doing');
CREATE INDEX farm_jobs_of_queue ON procrastinate_jobs (queue_name, priority DESC, id) WHERE status = 'todo';
