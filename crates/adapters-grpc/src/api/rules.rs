//! Which role each call needs. What does not stand here is for nobody.

use tutti_core::ports::inbound::access::Role;

/// Who may call something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody, without a word.
    Public,
    /// Callers of this role and those above it.
    Role(Role),
    /// The same, if the role is theirs in every namespace: it tells of all of them, or makes others.
    Everywhere(Role),
}

const READER: Rule = Rule::Role(Role::Reader);
const OPERATOR: Rule = Rule::Role(Role::Operator);
const AUTHOR: Rule = Rule::Role(Role::Author);
const ADMIN: Rule = Rule::Role(Role::Admin);

/// Every path and who may call it.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("/tutti.v1.RunService/GetRun", READER),
    ("/tutti.v1.RunService/ListRuns", READER),
    ("/tutti.v1.RunService/CountRuns", READER),
    ("/tutti.v1.RunService/WatchRuns", READER),
    ("/tutti.v1.RunService/ListEvents", READER),
    ("/tutti.v1.RunService/WatchRun", READER),
    ("/tutti.v1.RunService/GetRunData", READER),
    ("/tutti.v1.RunService/ListArtifacts", READER),
    ("/tutti.v1.RunService/DownloadArtifact", READER),
    ("/tutti.v1.RunService/GetPayload", READER),
    ("/tutti.v1.RunService/PauseRun", OPERATOR),
    ("/tutti.v1.RunService/ResumeRun", OPERATOR),
    ("/tutti.v1.RunService/CancelRun", OPERATOR),
    ("/tutti.v1.RunService/TerminateRun", OPERATOR),
    ("/tutti.v1.RunService/RetryRun", OPERATOR),
    ("/tutti.v1.RunService/RaiseBudget", OPERATOR),
    ("/tutti.v1.RunService/SignalRun", OPERATOR),
    ("/tutti.v1.RunService/StartRun", AUTHOR),
    // It says what a run does, as whoever starts it.
    ("/tutti.v1.RunService/PatchRun", AUTHOR),
    ("/tutti.v1.RunService/ForkRun", AUTHOR),
    ("/tutti.v1.RunService/StartAndWaitRun", AUTHOR),
    ("/tutti.v1.RecoveryService/ListCheckpoints", READER),
    ("/tutti.v1.RecoveryService/CheckpointRun", OPERATOR),
    ("/tutti.v1.RecoveryService/RollbackRun", OPERATOR),
    ("/tutti.v1.RecoveryService/DecideStep", OPERATOR),
    ("/tutti.v1.WorkflowService/GetWorkflow", READER),
    ("/tutti.v1.WorkflowService/ListWorkflows", READER),
    ("/tutti.v1.WorkflowService/ValidateWorkflow", READER),
    ("/tutti.v1.WorkflowService/PlanWorkflow", READER),
    ("/tutti.v1.WorkflowService/RegisterWorkflow", AUTHOR),
    ("/tutti.v1.MonitorService/GetRunMonitor", READER),
    ("/tutti.v1.MonitorService/ExplainRun", READER),
    ("/tutti.v1.MonitorService/GetServerHealth", READER),
    // It starts the run that it tells of.
    ("/tutti.v1.MonitorService/ExecuteStream", AUTHOR),
    ("/tutti.v1.ApprovalService/ListApprovals", READER),
    ("/tutti.v1.ApprovalService/DecideApproval", OPERATOR),
    ("/tutti.v1.AgentService/ListAgents", READER),
    ("/tutti.v1.AgentService/DiscoverAgents", READER),
    // What an agent's own token is for: it must not need one that may do more.
    ("/tutti.v1.AgentService/Heartbeat", OPERATOR),
    ("/tutti.v1.AgentService/RegisterAgent", ADMIN),
    ("/tutti.v1.AgentService/DeregisterAgent", ADMIN),
    ("/tutti.v1.AccessService/CreateToken", ADMIN),
    ("/tutti.v1.AccessService/ListTokens", ADMIN),
    ("/tutti.v1.AccessService/RevokeToken", ADMIN),
    ("/tutti.v1.AccessService/CreateNamespace", Rule::Everywhere(Role::Admin)),
    ("/tutti.v1.AccessService/ListNamespaces", ADMIN),
    ("/tutti.v1.RetentionService/GetRetention", READER),
    // What is removed does not come back.
    ("/tutti.v1.RetentionService/PurgeRuns", ADMIN),
    ("/tutti.v1.RetentionService/SetRetention", ADMIN),
    // A message starts a run, or answers one that waits.
    ("/lf.a2a.v1.A2AService/SendMessage", AUTHOR),
    ("/lf.a2a.v1.A2AService/SendStreamingMessage", AUTHOR),
    ("/lf.a2a.v1.A2AService/GetTask", READER),
    ("/lf.a2a.v1.A2AService/ListTasks", READER),
    ("/lf.a2a.v1.A2AService/SubscribeToTask", READER),
    ("/lf.a2a.v1.A2AService/GetExtendedAgentCard", READER),
    ("/lf.a2a.v1.A2AService/CancelTask", OPERATOR),
    // They hold what a webhook wants to see, and make the server call it.
    ("/lf.a2a.v1.A2AService/CreateTaskPushNotificationConfig", AUTHOR),
    ("/lf.a2a.v1.A2AService/GetTaskPushNotificationConfig", AUTHOR),
    ("/lf.a2a.v1.A2AService/ListTaskPushNotificationConfigs", AUTHOR),
    ("/lf.a2a.v1.A2AService/DeleteTaskPushNotificationConfig", AUTHOR),
    ("/grpc.health.v1.Health/Check", Rule::Public),
    ("/grpc.health.v1.Health/Watch", Rule::Public),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", READER),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", READER),
    ("/.well-known/agent-card.json", Rule::Public),
    ("/metrics", Rule::Everywhere(Role::Reader)),
];
