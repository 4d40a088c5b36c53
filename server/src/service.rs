//! The gateway's deeds behind one face: the REST forms and the page's server functions both call this.

use wiber_app::{
    service::{
        ActionReport, ClusterService, HistoryPage, NodeAction, PublishReport, PublishRequest, ServiceFuture,
        StartReport,
    },
    view::ClusterView,
};
use wiber_protocol::status::{ClockFault, InjectedFault};

use crate::{cluster::Cluster, faults, messages::Messages, supervisor::Supervisor};

/// Everything that can be asked of the cluster here.
pub(crate) struct Service {
    pub(crate) cluster: Cluster,
    pub(crate) supervisor: Supervisor,
    pub(crate) messages: Messages,
}

impl ClusterService for Service {
    fn view(&self) -> ClusterView {
        self.cluster.view()
    }

    fn start_cluster(&self) -> ServiceFuture<'_, StartReport> {
        Box::pin(async { Ok(self.supervisor.start_all().await) })
    }

    fn act(&self, node: String, action: NodeAction) -> ServiceFuture<'_, ActionReport> {
        Box::pin(self.supervisor.act(node, action))
    }

    fn clock_fault(&self, node: String, fault: ClockFault) -> ServiceFuture<'_, InjectedFault> {
        Box::pin(async move {
            let spec = self.supervisor.running_spec(&node)?;
            faults::inject(spec, &fault).await
        })
    }

    fn publish(&self, convo: String, request: PublishRequest) -> ServiceFuture<'_, PublishReport> {
        Box::pin(async move { Ok(self.messages.publish(&convo, request).await?) })
    }

    fn history(&self, convo: String, count: usize) -> ServiceFuture<'_, HistoryPage> {
        Box::pin(async move { self.messages.history(&convo, count).await })
    }
}
