-- Runs that wait for a moment, those in the queue among them: found in turn between namespaces, each in the order of its
-- moments. Those that are active are found by their ids.

CREATE INDEX run_waiting ON run (namespace, wake_at, run_id, slot) WHERE wake_at > 0;
CREATE INDEX run_active ON run (run_id, slot) WHERE wake_at = 0;
DROP INDEX run_awake;

-- Histories as people read them, with the event of runs that leave the queue:
--
--   SELECT seq, at, kind, body FROM history WHERE run_id = '01932c07-2f3a-7e1d-9b1a-0123456789ab' ORDER BY seq;
--
-- `body` is null if the event is compressed or encrypted; `at` is null for a moment before the year 1. A new kind of event
-- needs a new form of this view.
CREATE OR REPLACE VIEW history AS
SELECT
    run_id,
    seq,
    CASE
        WHEN at_us > -62135596800000000
        THEN TIMESTAMPTZ '1970-01-01 00:00:00+00' + at_us * INTERVAL '1 microsecond'
    END AS at,
    CASE kind
        WHEN 1 THEN 'RunCreated'
        WHEN 2 THEN 'RunResumed'
        WHEN 3 THEN 'RunCompleted'
        WHEN 4 THEN 'RunFailed'
        WHEN 5 THEN 'RunCancelled'
        WHEN 6 THEN 'RunQuarantined'
        WHEN 7 THEN 'RunPaused'
        WHEN 8 THEN 'RunTerminated'
        WHEN 9 THEN 'RunReopened'
        WHEN 10 THEN 'RunAdmitted'
        WHEN 20 THEN 'CheckpointCreated'
        WHEN 40 THEN 'AttemptStarted'
        WHEN 41 THEN 'TaskAssigned'
        WHEN 42 THEN 'AttemptSuspended'
        WHEN 43 THEN 'AttemptFailed'
        WHEN 44 THEN 'SignalReceived'
        WHEN 45 THEN 'AttemptResumed'
        WHEN 50 THEN 'ArtifactRecorded'
        WHEN 60 THEN 'StepCompleted'
        WHEN 61 THEN 'StepFailed'
        ELSE 'kind ' || kind
    END AS kind,
    version,
    epoch,
    CASE WHEN substring(blob FROM 1 FOR 3) = '\x000000' THEN convert_from(substring(blob FROM 4), 'UTF8')::JSON END AS body
FROM event;
