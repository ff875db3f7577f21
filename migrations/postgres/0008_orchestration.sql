-- The view of histories names the events of plans that grow, of quality and of budgets. It is compatible: programs of
-- before go on working with what is here.

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
        WHEN 11 THEN 'UndoStarted'
        WHEN 12 THEN 'RunRewound'
        WHEN 13 THEN 'RunStuck'
        WHEN 14 THEN 'RunForked'
        WHEN 15 THEN 'PlanRevised'
        WHEN 20 THEN 'CheckpointCreated'
        WHEN 40 THEN 'AttemptStarted'
        WHEN 41 THEN 'TaskAssigned'
        WHEN 42 THEN 'AttemptSuspended'
        WHEN 43 THEN 'AttemptFailed'
        WHEN 44 THEN 'SignalReceived'
        WHEN 45 THEN 'AttemptResumed'
        WHEN 46 THEN 'StepHeld'
        WHEN 47 THEN 'StepDecided'
        WHEN 48 THEN 'WaitOverdue'
        WHEN 49 THEN 'ResultDiscarded'
        WHEN 50 THEN 'ArtifactRecorded'
        WHEN 60 THEN 'StepCompleted'
        WHEN 61 THEN 'StepFailed'
        WHEN 62 THEN 'StepRecovered'
        WHEN 63 THEN 'StepExpanded'
        WHEN 64 THEN 'StepChecked'
        WHEN 65 THEN 'StepOmitted'
        WHEN 66 THEN 'WaitClosed'
        WHEN 70 THEN 'QualityAssessed'
        WHEN 75 THEN 'BudgetWarned'
        WHEN 76 THEN 'BudgetSpent'
        WHEN 77 THEN 'BudgetRaised'
        ELSE 'kind ' || kind
    END AS kind,
    version,
    epoch,
    CASE WHEN substring(blob FROM 1 FOR 3) = '\x000000' THEN convert_from(substring(blob FROM 4), 'UTF8')::JSON END AS body
FROM event;
