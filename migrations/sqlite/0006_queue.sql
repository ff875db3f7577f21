-- Runs that wait for a moment, those in the queue among them: found in turn between namespaces, each in the order of its
-- moments. Those that are active are found by their ids.

CREATE INDEX run_waiting ON run (namespace, wake_at, run_id, slot) WHERE wake_at > 0;
CREATE INDEX run_active ON run (run_id, slot) WHERE wake_at = 0;
DROP INDEX run_awake;

-- Histories as people read them, with the event of runs that leave the queue:
--
--   SELECT seq, at, kind, body FROM history WHERE run_id = unhex('01932c07-2f3a-7e1d-9b1a-0123456789ab', '-') ORDER BY seq;
--
-- `run` is the id as text, for reading; `run_id` is the id as it is kept, by which rows are found quickly.
-- `body` is null if the event is compressed or encrypted. A new kind of event needs a new form of this view.
DROP VIEW history;
CREATE VIEW history AS
SELECT
    lower(
        substr(hex(run_id), 1, 8) || '-' || substr(hex(run_id), 9, 4) || '-' || substr(hex(run_id), 13, 4) || '-'
        || substr(hex(run_id), 17, 4) || '-' || substr(hex(run_id), 21)
    ) AS run,
    seq,
    strftime('%Y-%m-%dT%H:%M:%S', at_us / 1000000, 'unixepoch') || printf('.%06dZ', at_us % 1000000) AS at,
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
    CASE WHEN substr(blob, 1, 3) = x'000000' THEN CAST(substr(blob, 4) AS TEXT) END AS body,
    run_id
FROM event;
