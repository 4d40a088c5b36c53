//! Which nodes a command talks to: given as addresses, or by the cluster's configuration.

use std::{net::ToSocketAddrs as _, path::PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use wiber_protocol::{
    config::{ClusterConfig, NodeSpec},
    status::Role,
};

use crate::admin;

/// The options every command has that talks to nodes.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodesOptions {
    /// Client addresses of nodes; instead of a configuration
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        global = true,
        conflicts_with = "config"
    )]
    pub(crate) addr: Vec<String>,
    /// The cluster's configuration
    #[arg(
        long,
        value_name = "FILE",
        default_value = "config/cluster.yaml",
        global = true
    )]
    pub(crate) config: PathBuf,
}

impl NodesOptions {
    /// The nodes, at least one.
    pub(crate) fn resolve(&self) -> anyhow::Result<Vec<NodeSpec>> {
        if !self.addr.is_empty() {
            return self.addr.iter().map(|address| parse_address(address)).collect();
        }
        let path = self.config.display();
        let bytes =
            std::fs::read(&self.config).with_context(|| format!("cannot read the configuration {path}"))?;
        Ok(ClusterConfig::parse_bytes(&bytes, &path.to_string())?.nodes)
    }
}

fn parse_address(address: &str) -> anyhow::Result<NodeSpec> {
    let wrong = || anyhow!("`{address}` is no HOST:PORT");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong());
    }
    Ok(NodeSpec {
        id: address.to_owned(),
        host,
        port,
    })
}

/// The node that says that it leads; else the first that can be connected to.
pub(crate) fn leader_or_any(nodes: &[NodeSpec]) -> anyhow::Result<NodeSpec> {
    let leads = |node: &&NodeSpec| admin::status(node).is_some_and(|status| status.role == Role::Leader);
    if let Some(leader) = nodes.iter().find(leads) {
        return Ok(leader.clone());
    }
    let reachable = |node: &&NodeSpec| {
        let addresses = (node.host.as_str(), node.port).to_socket_addrs();
        addresses.is_ok_and(|mut each| each.any(|one| admin::connect(one).is_ok()))
    };
    nodes.iter().find(reachable).cloned().ok_or_else(|| {
        let tried: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}:{}", node.host, node.port))
            .collect();
        anyhow!("no node answers: tried {}", tried.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let at = |address: &str| parse_address(address).map(|node| (node.host, node.port)).ok();
        assert_eq!(at("127.0.0.1:9101"), Some(("127.0.0.1".to_owned(), 9101)));
        assert_eq!(at("[::1]:9101"), Some(("::1".to_owned(), 9101)));
        for wrong in ["", "9101", ":9101", "host:", "host:port", "host:99999"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
