-- What the roles of a farm may do, as functions with their owner's rights. `session_user` is who is logged in: it cannot be
-- changed by a statement. Hosts have no rights on tables; each function checks that the job or phone is the host's own.
-- This file runs for a new farm, and again at each upgrade.

CREATE OR REPLACE VIEW phones_now AS
  SELECT p.*, q.why AS quarantine, q.since_utc AS quarantined_utc, q.until_utc AS quarantine_until_utc
  FROM phones p LEFT JOIN LATERAL (
    SELECT * FROM quarantine q WHERE q.device = p.device AND q.ended_utc IS NULL
      AND (q.until_utc IS NULL OR q.until_utc > now()) ORDER BY q.id DESC LIMIT 1
  ) q ON true;

CREATE OR REPLACE VIEW jobs_now AS
  SELECT j.id, j.submission, j.round, s.suite, j.device, p.host, j.submitter, j.run_id, s.priority, q.status::text AS state,
    q.abort_requested AS cancelling, j.created_utc, a.began_utc, a.number AS attempts, a.host AS measured_on,
    a.outcome, j.ended_utc, j.end_reason, j.stored,
    (SELECT count(*) FROM results r WHERE r.job = j.id AND r.purpose <> 'end') AS repetitions
  FROM jobs j JOIN procrastinate_jobs q ON q.id = j.id JOIN submissions s ON s.id = j.submission
    JOIN phones p ON p.device = j.device
    LEFT JOIN LATERAL (SELECT * FROM attempts a WHERE a.job = j.id ORDER BY a.number DESC LIMIT 1) a ON true;

CREATE FUNCTION my_host() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE found text;
BEGIN
  SELECT name INTO found FROM hosts WHERE role = session_user;
  IF found IS NULL THEN
    RAISE EXCEPTION 'role % is not a host of this farm', session_user USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN found;
END $$;

-- The host of a worker that is still the host's current one.
CREATE FUNCTION my_worker(p_worker bigint) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
DECLARE found text := my_host();
BEGIN
  IF NOT EXISTS (SELECT FROM hosts WHERE name = found AND worker = p_worker) THEN
    RAISE EXCEPTION 'another worker serves %, or this one was silent for too long', found USING ERRCODE = 'DB001';
  END IF;
  RETURN found;
END $$;

-- End a job for good.
CREATE FUNCTION end_job(p_job bigint, p_status procrastinate_job_status, p_reason text) RETURNS void LANGUAGE plpgsql
SET search_path = farm, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM procrastinate_jobs WHERE id = p_job AND status IN ('todo', 'doing')) THEN
    PERFORM procrastinate_finish_job_v1(p_job, p_status, false);
  END IF;
  UPDATE jobs SET ended_utc = now(), end_reason = left(p_reason, 1000) WHERE id = p_job;
END $$;

-- End an attempt; its job goes back to the queue, unless it was to be cancelled or has failed too often.
CREATE FUNCTION end_attempt(p_token text, p_outcome text, p_failed boolean, p_delay interval) RETURNS boolean
LANGUAGE plpgsql SET search_path = farm, pg_temp AS $$
DECLARE j bigint; bad int; every int;
BEGIN
  UPDATE attempts SET ended_utc = now(), outcome = left(p_outcome, 4000), failed = p_failed
    WHERE token = p_token AND ended_utc IS NULL RETURNING job INTO j;
  IF j IS NULL THEN RETURN false; END IF;
  SELECT count(*) FILTER (WHERE failed), count(*) INTO bad, every FROM attempts WHERE job = j;
  IF (SELECT abort_requested FROM procrastinate_jobs WHERE id = j) THEN
    PERFORM end_job(j, 'aborted', 'cancelled');
  ELSIF bad >= 3 OR every >= 100 THEN
    PERFORM end_job(j, 'failed', format('%s of %s attempts failed; the last: %s', bad, every, p_outcome));
  ELSE
    PERFORM procrastinate_retry_job_v2(j, CASE WHEN p_delay > '0' THEN now() + p_delay END, NULL, NULL, NULL);
  END IF;
  RETURN true;
END $$;

-- -- hosts ------------------------------------------------------------------------------------------------------------

-- A worker begins; what an earlier one of this host left goes back to the queue. Returns the worker's number. `p_old` is the
-- number of a worker that was silent for too long and begins anew; 0 for one that starts.
CREATE FUNCTION hello(p_schema int, p_devbench text, p_clock timestamptz, p_old bigint) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE h text := my_host(); w bigint;
BEGIN
  IF p_schema <> (SELECT number FROM version) THEN
    RAISE EXCEPTION 'the farm has schema %, this worker knows %', (SELECT number FROM version), p_schema
      USING ERRCODE = 'DB002';
  END IF;
  SELECT worker INTO w FROM hosts WHERE name = h FOR UPDATE;
  IF p_old > 0 AND w <> p_old THEN
    RAISE EXCEPTION 'another worker serves % now', h USING ERRCODE = 'DB003';
  END IF;
  PERFORM end_attempt(token, 'the worker was restarted', false, '0') FROM attempts
    WHERE host = h AND ended_utc IS NULL;
  DELETE FROM procrastinate_workers WHERE id = (SELECT worker FROM hosts WHERE name = h);
  SELECT worker_id INTO w FROM procrastinate_register_worker_v1();
  UPDATE hosts SET worker = w, seen_utc = now(), devbench = left(p_devbench, 40),
    clock_offset_s = extract(epoch FROM p_clock - clock_timestamp()) WHERE name = h;
  UPDATE phones SET present = false WHERE host = h;
  RETURN w;
END $$;

-- The worker ends: its attempts are over, its phones are not offered any more.
CREATE FUNCTION bye(p_worker bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE h text := my_worker(p_worker);
BEGIN
  PERFORM end_attempt(token, 'the worker was stopped', false, '0') FROM attempts WHERE host = h AND ended_utc IS NULL;
  DELETE FROM procrastinate_workers WHERE id = p_worker;
  UPDATE hosts SET worker = NULL WHERE name = h;
  UPDATE phones SET present = false WHERE host = h;
END $$;

-- The worker is alive. Returns its phones, its valid attempts, and those that are to be cancelled.
CREATE FUNCTION beat(p_worker bigint) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE h text := my_worker(p_worker);
BEGIN
  PERFORM procrastinate_update_heartbeat_v1(p_worker);
  UPDATE hosts SET seen_utc = now() WHERE name = h;
  RETURN jsonb_build_object(
    'assigned', (SELECT coalesce(jsonb_agg(device), '[]') FROM phones WHERE host = h),
    'valid', (SELECT coalesce(jsonb_agg(token), '[]') FROM attempts WHERE host = h AND ended_utc IS NULL),
    'cancelled', (SELECT coalesce(jsonb_agg(a.token), '[]') FROM attempts a JOIN procrastinate_jobs q ON q.id = a.job
                  WHERE a.host = h AND a.ended_utc IS NULL AND q.abort_requested));
END $$;

-- The phones that are connected to the host, as `{device: facts}`. Returns those of them that are assigned to it.
CREATE FUNCTION offer(p_worker bigint, p_phones jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
DECLARE h text := my_worker(p_worker);
BEGIN
  IF jsonb_typeof(p_phones) <> 'object' OR octet_length(p_phones::text) > 1048576
     OR (SELECT count(*) FROM jsonb_object_keys(p_phones)) > 256 THEN
    RAISE EXCEPTION 'a host has at most 256 phones' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  UPDATE phones SET present = false WHERE host = h AND present AND NOT p_phones ? device;
  UPDATE phones SET wanted_by = NULL WHERE wanted_by = h AND NOT p_phones ? device;
  INSERT INTO phones AS p (device, host, present, facts) SELECT key, h, true, value FROM jsonb_each(p_phones)
    ON CONFLICT (device) DO UPDATE SET present = true, seen_utc = now(), facts = excluded.facts WHERE p.host = h;
  UPDATE phones SET wanted_by = h WHERE host <> h AND p_phones ? device;
  IF (SELECT count(*) FROM phones WHERE host = h) > 1024 THEN
    RAISE EXCEPTION 'more than 1024 phones were seen at %: ask an admin', h USING ERRCODE = 'program_limit_exceeded';
  END IF;
  RETURN ARRAY(SELECT device FROM phones WHERE host = h AND present);
END $$;

-- The next job for one of these phones, if there is one: an attempt begins.
CREATE FUNCTION take(p_worker bigint, p_devices text[])
RETURNS TABLE (job bigint, device text, attempt int, token text, run_id text, suite text, body jsonb, storage text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
#variable_conflict use_column
DECLARE h text := my_worker(p_worker); fit varchar[]; q procrastinate_jobs; t text := replace(gen_random_uuid()::text, '-', '');
BEGIN
  IF (SELECT draining FROM hosts WHERE name = h) THEN RETURN; END IF;
  SELECT array_agg(p.device) INTO fit FROM phones_now p
    WHERE p.host = h AND p.device = ANY (p_devices[1:256]) AND p.quarantine IS NULL;
  IF fit IS NULL THEN RETURN; END IF;
  q := procrastinate_fetch_job_v2(fit, p_worker);
  IF q.id IS NULL THEN RETURN; END IF;
  INSERT INTO attempts (token, job, number, host, worker)
    SELECT t, q.id, 1 + count(*), h, p_worker FROM attempts WHERE job = q.id;
  UPDATE phones p SET turn = greatest(p.turn, j.turn) FROM jobs j WHERE j.id = q.id AND p.device = j.device;
  RETURN QUERY SELECT j.id, j.device, a.number, t, j.run_id, s.suite, s.job,
      (SELECT value FROM settings WHERE name = 'storage')
    FROM jobs j JOIN submissions s ON s.id = j.submission JOIN attempts a ON a.token = t WHERE j.id = q.id;
END $$;

-- What is stored of the job already, so that it is not measured again.
CREATE FUNCTION accepted(p_token text) RETURNS TABLE (payload bytea) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT r.payload FROM results r JOIN attempts a ON a.job = r.job
    WHERE a.token = p_token AND a.host = my_host() AND a.ended_utc IS NULL AND r.purpose <> 'end' ORDER BY r.id;
END $$;

-- Keep a result: 'stored', or 'superseded' if the attempt is over or another one has delivered it.
CREATE FUNCTION deliver(p_token text, p_number int, p_purpose text, p_index int, p_payload bytea, p_raw text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE h text := my_host(); a attempts;
BEGIN
  SELECT * INTO a FROM attempts WHERE token = p_token AND host = h FOR UPDATE;
  IF a.token IS NULL THEN
    RAISE EXCEPTION 'no attempt of % has this token', h USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF EXISTS (SELECT FROM results r WHERE r.job = a.job AND r.number = p_number AND r.purpose = p_purpose
             AND r.index = p_index AND r.token = p_token) THEN
    RETURN 'stored';  -- its answer was lost
  END IF;
  IF a.ended_utc IS NOT NULL THEN RETURN 'superseded'; END IF;
  IF (SELECT count(*) FROM results r WHERE r.job = a.job) >= 20000 THEN
    RAISE EXCEPTION 'a job has at most 20000 results' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  INSERT INTO results (job, number, purpose, index, token, host, payload, raw_sha256)
    VALUES (a.job, p_number, p_purpose, p_index, p_token, h, p_payload, p_raw) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'superseded'; END IF;
  UPDATE jobs SET delivered_bytes = delivered_bytes + octet_length(p_payload) WHERE id = a.job;
  PERFORM pg_notify('farm_results', '');
  RETURN 'stored';
END $$;

-- The attempt is over. `p_end`: 'done', 'failed' (the job has failed), 'again' (try again) or 'back' (no fault of the job).
CREATE FUNCTION finish(p_token text, p_end text, p_outcome text, p_delay_s double precision) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
DECLARE h text := my_host(); j bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM attempts WHERE token = p_token AND host = h) THEN
    RAISE EXCEPTION 'no attempt of % has this token', h USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_end IN ('again', 'back') THEN
    RETURN end_attempt(p_token, p_outcome, p_end = 'again', make_interval(secs => least(greatest(p_delay_s, 0), 600)));
  END IF;
  UPDATE attempts SET ended_utc = now(), outcome = left(p_outcome, 4000), failed = p_end <> 'done'
    WHERE token = p_token AND ended_utc IS NULL RETURNING job INTO j;
  IF j IS NULL THEN RETURN false; END IF;
  PERFORM end_job(j, CASE WHEN p_end = 'done' THEN 'succeeded' ELSE 'failed' END::procrastinate_job_status, p_outcome);
  PERFORM pg_notify('farm_results', '');
  RETURN true;
END $$;

-- -- submitters -------------------------------------------------------------------------------------------------------

-- Whether a phone is wanted: `wanted` has patterns with * and ?, by the name of a fact, `device` or `host`.
CREATE FUNCTION is_wanted(p phones, p_wanted jsonb) RETURNS boolean LANGUAGE sql STABLE SET search_path = farm, pg_temp AS $$
  SELECT NOT EXISTS (
    SELECT FROM jsonb_each_text(p_wanted) w WHERE NOT coalesce(
      CASE w.key WHEN 'device' THEN p.device WHEN 'host' THEN p.host ELSE p.facts ->> w.key END
      LIKE translate(replace(replace(replace(w.value, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_'), false))
$$;

-- Put one round of a submission into the queue; gives the number of jobs. Any N phones are those of earlier rounds of the
-- suite first, then in an order that depends on suite and phone alone.
CREATE FUNCTION queue_round(p_submission bigint) RETURNS int LANGUAGE plpgsql SET search_path = farm, pg_temp AS $$
DECLARE s submissions; r int; d text; t bigint; j bigint; n int := 0;
BEGIN
  SELECT * INTO s FROM submissions WHERE id = p_submission FOR UPDATE;
  SELECT 1 + coalesce(max(round), 0) INTO r FROM jobs WHERE submission = s.id;
  FOR d IN
    SELECT p.device FROM phones p JOIN phones_now n USING (device)
    WHERE is_wanted(p, s.wanted) AND n.quarantine IS NULL
    ORDER BY CASE WHEN s.phones IS NULL THEN true ELSE p.present END DESC,
      s.phones IS NOT NULL AND EXISTS (SELECT FROM jobs o JOIN submissions os ON os.id = o.submission
        WHERE o.device = p.device AND os.suite = s.suite) DESC, md5(s.suite || p.device)
    LIMIT s.phones
  LOOP
    -- A round that still waits is replaced: nobody needs last night's figures tonight.
    FOR j IN SELECT o.id FROM jobs o JOIN procrastinate_jobs q ON q.id = o.id
      WHERE o.submission = s.id AND o.device = d AND q.status = 'todo' LOOP
      PERFORM procrastinate_cancel_job_v1(j, true, false);
      UPDATE jobs SET ended_utc = now(), end_reason = 'a later round replaced it' WHERE id = j;
    END LOOP;
    SELECT 1 + greatest(p.turn, coalesce((SELECT max(o.turn) FROM jobs o
        WHERE o.device = d AND o.submitter = s.submitter), 0))
      INTO t FROM phones p WHERE p.device = d;
    -- The n-th job of a user is in turn with the n-th jobs of others.
    j := (procrastinate_defer_jobs_v1(ARRAY[ROW(d, 'measure', s.priority * 10000000 - least(t, 9000000)::int, d,
      s.id || '/' || d, '{}'::jsonb, NULL::timestamptz)]::procrastinate_job_to_defer_v1[]))[1];
    INSERT INTO jobs (id, submission, round, device, submitter, run_id, turn) VALUES (j, s.id, r, d, s.submitter,
      to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD-HH24MISS-') || lpad(to_hex(j), 8, '0'), t);
    n := n + 1;
  END LOOP;
  UPDATE submissions SET due_utc = CASE WHEN every = 'night' THEN
      due_utc + interval '1 day' * ceil(greatest(1, extract(epoch FROM now() - due_utc) / 86400)) END
    WHERE id = s.id;
  RETURN n;
END $$;

-- Queue a job now, or later if it is not due yet; a night's suite is queued once. Returns the submission and its jobs.
CREATE FUNCTION submit(p_suite text, p_job jsonb, p_wanted jsonb, p_phones int, p_priority int, p_due timestamptz,
  p_every text, p_night text) RETURNS TABLE (submission bigint, jobs int) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
#variable_conflict use_column
DECLARE s bigint;
BEGIN
  INSERT INTO submissions (suite, submitter, job, wanted, phones, priority, every, night, due_utc)
    VALUES (p_suite, session_user, p_job, p_wanted, p_phones, p_priority, p_every, p_night, coalesce(p_due, now()))
    ON CONFLICT DO NOTHING RETURNING id INTO s;
  IF s IS NULL THEN
    RETURN QUERY SELECT o.id, 0 FROM submissions o WHERE o.suite = p_suite AND o.night = p_night;
    RETURN;
  END IF;
  RETURN QUERY SELECT s, CASE WHEN coalesce(p_due, now()) <= now() THEN queue_round(s) ELSE 0 END;
END $$;

-- Whether this user may change a job: it is the user's own, or the user is an admin.
CREATE FUNCTION check_mine(p_submitter name) RETURNS void LANGUAGE plpgsql STABLE SET search_path = farm, pg_temp AS $$
BEGIN
  IF p_submitter IS DISTINCT FROM session_user AND NOT pg_has_role(session_user, 'devbench_admin', 'member') THEN
    RAISE EXCEPTION 'it was submitted by %', p_submitter USING ERRCODE = 'insufficient_privilege';
  END IF;
END $$;

CREATE FUNCTION cancel(p_job bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
BEGIN
  PERFORM check_mine(submitter) FROM jobs WHERE id = p_job;
  UPDATE jobs SET ended_utc = now(), end_reason = 'cancelled' FROM procrastinate_jobs q
    WHERE jobs.id = p_job AND q.id = p_job AND q.status = 'todo';
  RETURN procrastinate_cancel_job_v1(p_job, true, false) IS NOT NULL;
END $$;

-- No further rounds of a submission.
CREATE FUNCTION cancel_submission(p_submission bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  PERFORM check_mine(submitter) FROM submissions WHERE id = p_submission;
  UPDATE submissions SET due_utc = NULL WHERE id = p_submission AND due_utc IS NOT NULL;
  RETURN FOUND;
END $$;

-- Queue a failed job once more; what it has stored is not measured again.
CREATE FUNCTION retry(p_job bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
BEGIN
  PERFORM check_mine(submitter) FROM jobs WHERE id = p_job;
  IF NOT EXISTS (SELECT FROM procrastinate_jobs WHERE id = p_job AND status = 'failed') THEN RETURN false; END IF;
  UPDATE attempts SET failed = false WHERE job = p_job;
  UPDATE jobs SET ended_utc = NULL, end_reason = '', stored = false WHERE id = p_job;
  PERFORM procrastinate_retry_job_v2(p_job, NULL, NULL, NULL, NULL);
  RETURN true;
END $$;

CREATE FUNCTION set_reported(p_submission bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  UPDATE submissions SET reported_utc = now() WHERE id = p_submission;
END $$;

-- -- keepers and admins -----------------------------------------------------------------------------------------------

-- Give the jobs of silent workers back to the queue. Nothing within that time after a restart of the database.
CREATE FUNCTION requeue(p_silent_s double precision) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
DECLARE h record; n int := 0; silent interval := make_interval(secs => p_silent_s);
BEGIN
  IF now() - pg_postmaster_start_time() < silent THEN RETURN 0; END IF;
  FOR h IN SELECT o.name FROM hosts o WHERE o.worker IS NOT NULL AND NOT EXISTS (
      SELECT FROM procrastinate_workers w WHERE w.id = o.worker AND w.last_heartbeat > now() - silent)
    FOR UPDATE SKIP LOCKED
  LOOP
    n := n + (SELECT count(*) FROM attempts WHERE host = h.name AND ended_utc IS NULL
              AND end_attempt(token, 'the worker was silent', false, '0'));
    DELETE FROM procrastinate_workers WHERE id = (SELECT worker FROM hosts WHERE name = h.name);
    UPDATE hosts SET worker = NULL WHERE name = h.name;
    UPDATE phones SET present = false WHERE host = h.name;
  END LOOP;
  RETURN n;
END $$;

CREATE FUNCTION queue_due() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = farm, pg_temp AS $$
  SELECT coalesce(sum(queue_round(s.id)), 0)::int FROM (
    SELECT id FROM submissions WHERE due_utc <= now() ORDER BY due_utc FOR UPDATE SKIP LOCKED) s
$$;

-- Take a phone out of use: an admin, or the host that it is connected to.
CREATE FUNCTION set_quarantine(p_device text, p_why text, p_until timestamptz) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = farm, pg_temp AS $$
BEGIN
  IF NOT pg_has_role(session_user, 'devbench_admin', 'member') THEN
    PERFORM FROM phones WHERE device = p_device AND host = my_host();
    IF NOT FOUND THEN
      RAISE EXCEPTION 'phone % is not one of this host', left(p_device, 80) USING ERRCODE = 'insufficient_privilege';
    END IF;
  END IF;
  INSERT INTO quarantine (device, why, by_role, until_utc) VALUES (p_device, p_why, session_user, p_until);
END $$;

CREATE FUNCTION end_quarantine(p_device text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  UPDATE quarantine SET ended_utc = now() WHERE device = p_device AND ended_utc IS NULL;
  RETURN FOUND;
END $$;

CREATE FUNCTION drain(p_host text, p_on boolean) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  UPDATE hosts SET draining = p_on WHERE name = p_host;
  RETURN FOUND;
END $$;

CREATE FUNCTION assign(p_device text, p_host text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = farm, pg_temp AS $$
BEGIN
  UPDATE phones SET host = p_host, present = false, wanted_by = NULL WHERE device = p_device;
  RETURN FOUND;
END $$;

-- -- rights -----------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA farm FROM PUBLIC;
GRANT USAGE ON SCHEMA farm TO devbench_submitter, devbench_host, devbench_keeper, devbench_admin;
GRANT EXECUTE ON FUNCTION hello, bye, beat, offer, take, accepted, deliver, finish, set_quarantine TO devbench_host;
GRANT EXECUTE ON FUNCTION submit, cancel, cancel_submission, retry, set_reported TO devbench_submitter, devbench_admin;
GRANT EXECUTE ON FUNCTION requeue, queue_due TO devbench_keeper, devbench_admin;
GRANT EXECUTE ON FUNCTION set_quarantine, end_quarantine, drain, assign TO devbench_admin;
GRANT SELECT ON version, settings, hosts, phones, quarantine, submissions, jobs, phones_now, jobs_now, procrastinate_jobs,
  procrastinate_events, procrastinate_workers TO devbench_submitter, devbench_keeper, devbench_admin;
GRANT SELECT (job, number, host, worker, began_utc, ended_utc, outcome, failed) ON attempts
  TO devbench_submitter, devbench_keeper, devbench_admin;
GRANT SELECT (id, job, number, purpose, index, host, received_utc, raw_sha256, problem, stored) ON results
  TO devbench_submitter, devbench_admin;
GRANT SELECT ON results TO devbench_keeper;
GRANT UPDATE (payload, problem, stored) ON results TO devbench_keeper;
GRANT UPDATE (stored) ON jobs TO devbench_keeper;
GRANT SELECT ON version TO devbench_host;
