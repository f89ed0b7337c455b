-- Views on a results store in PostgreSQL for Grafana, in the schema `grafana`. Run as the owner of the store's tables:
--   psql postgresql://postgres@db.example/devbench -f grafana-views.sql
-- Run it again after an update of devbench. docs/examples/grafana-dashboard.json uses these views alone. The views of the
-- farm are made if the database has a farm.

DROP SCHEMA IF EXISTS grafana CASCADE;
CREATE SCHEMA grafana;

-- The store keeps times as microseconds since 1970, in UTC.
CREATE VIEW grafana.runs AS
  SELECT run_id, to_timestamp(started_utc / 1e6) AS started, to_timestamp(finished_utc / 1e6) AS finished, status,
    end_reason, host,
    (SELECT value FROM public.labels l WHERE l.run_id = r.run_id AND l.key = 'suite') AS suite,
    (SELECT value FROM public.labels l WHERE l.run_id = r.run_id AND l.key = 'commit') AS commit
  FROM public.runs r;

-- A value of a metric of a case on a device in a run: the median of the repetitions that count, and its interval.
CREATE VIEW grafana.series AS
  SELECT to_timestamp(r.started_utc / 1e6) AS time, r.run_id, r.host, j.device_key, d.title AS device, d.virtual, c.model,
    c.delegate, c.threads, c.text AS case_text, m.metric, m.value, m.low, m.high, m.n, m.unreliable
  FROM public.job_metrics m
    JOIN public.jobs j ON j.id = m.job_id
    JOIN public.runs r ON r.run_id = j.run_id
    JOIN public.devices d ON d.run_id = j.run_id AND d.key = j.device_key
    JOIN public.cases c ON c.id = j.case_id;

-- Repetitions by how they ended.
CREATE VIEW grafana.repetitions AS
  SELECT to_timestamp(p.started_utc / 1e6) AS time, r.host, j.device_key, c.model, p.purpose, p.status,
    coalesce(p.failure_kind, '') AS failure_kind, p.verdict
  FROM public.repetitions p
    JOIN public.jobs j ON j.id = p.job_id
    JOIN public.runs r ON r.run_id = j.run_id
    JOIN public.cases c ON c.id = j.case_id;

DO $$ BEGIN
  IF to_regclass('farm.jobs_now') IS NOT NULL THEN
    CREATE VIEW grafana.farm_hosts AS
      SELECT name AS host, devbench, draining, seen_utc AS seen, extract(epoch FROM now() - seen_utc)::float8 AS silent_s,
        clock_offset_s
      FROM farm.hosts;
    CREATE VIEW grafana.farm_phones AS
      SELECT device, host, facts ->> 'title' AS title, facts ->> 'soc' AS soc, seen_utc AS seen,
        CASE WHEN quarantine IS NOT NULL THEN 'quarantine' WHEN present THEN 'present' ELSE 'away' END AS state,
        quarantine AS why
      FROM farm.phones_now;
    CREATE VIEW grafana.farm_jobs AS
      SELECT id, suite, device, host, submitter, state, attempts, created_utc AS created, began_utc AS began,
        ended_utc AS ended, end_reason, repetitions
      FROM farm.jobs_now;
  ELSE
    -- Without a farm, the dashboard's panels of it are empty.
    CREATE VIEW grafana.farm_hosts AS SELECT ''::text AS host, ''::text AS devbench, false AS draining,
      now() AS seen, 0::float8 AS silent_s, 0::float8 AS clock_offset_s WHERE false;
    CREATE VIEW grafana.farm_phones AS SELECT ''::text AS device, ''::text AS host, ''::text AS title, ''::text AS soc,
      now() AS seen, ''::text AS state, ''::text AS why WHERE false;
    CREATE VIEW grafana.farm_jobs AS SELECT 0::bigint AS id, ''::text AS suite, ''::text AS device, ''::text AS host,
      ''::text AS submitter, ''::text AS state, 0 AS attempts, now() AS created, now() AS began, now() AS ended,
      ''::text AS end_reason, 0::bigint AS repetitions WHERE false;
  END IF;
  -- Grafana logs in as a user of this role, which reads the views and nothing else.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'devbench_grafana') THEN
    CREATE ROLE devbench_grafana NOLOGIN;
  END IF;
END $$;
GRANT USAGE ON SCHEMA grafana TO devbench_grafana;
GRANT SELECT ON ALL TABLES IN SCHEMA grafana TO devbench_grafana;
