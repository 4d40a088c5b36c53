//! Puts the gateway together, runs it until it is told to end, and takes it apart again.
//!
//! At the end the sockets say goodbye and requests under way are answered, while the nodes that a gateway started
//! stop; nodes started by hand stay. If the gateway crashes nothing of this happens, and the next one adopts
//! what it finds.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wiber_client::{Client, ClientOptions};
use wiber_protocol::config::{ClusterConfig, ConfigError};

use crate::{
    cluster::{Cluster, spawn_feeds},
    http::{self, leptos_options},
    messages::Messages,
    service::Service,
    supervisor::{Launcher, Supervisor},
    ws::Sockets,
};

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    pub config: PathBuf,
    pub data_root: PathBuf,
    /// 0 takes a free one.
    pub port: u16,
    /// `wiber-node`, if it is not beside the gateway's own executable.
    pub node_binary: Option<PathBuf>,
    /// Starts nodes so that they let their clocks be made false.
    pub allow_faults: bool,
}

/// Why a gateway does not start. Its text is one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the folder {} cannot be named: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot listen on port {port}: {source}{}", hint(source))]
    Listen { port: u16, source: io::Error },
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        " (GATEWAY_PORT or --port names another)"
    } else {
        ""
    }
}

/// A gateway that is ready to run.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    config: ClusterConfig,
    launcher: Launcher,
}

impl Gateway {
    /// Reads the configuration and takes the port; nothing else happens yet.
    pub async fn bind(options: GatewayOptions) -> Result<Self, StartError> {
        let GatewayOptions {
            config: path,
            data_root,
            port,
            node_binary,
            allow_faults,
        } = options;
        let bytes = std::fs::read(&path).map_err(|source| StartError::Read {
            path: path.clone(),
            source,
        })?;
        let config = ClusterConfig::parse_bytes(&bytes, &path.display().to_string())?;
        // A node's working directory is ours today; that is no reason to depend on it.
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|source| StartError::Folder { path, source });
        let launcher = Launcher {
            binary: Launcher::find_binary(node_binary),
            config: absolute(path)?,
            data_root: absolute(data_root)?,
            allow_faults,
        };
        let listen = async {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listen
            .await
            .map_err(|source| StartError::Listen { port, source })?;
        Ok(Self {
            listener,
            address,
            config,
            launcher,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `closing`, then ends in order.
    pub async fn run(self, closing: CancellationToken) {
        let cluster = Cluster::new(&self.config);
        let data_root = self.launcher.data_root.clone();
        let supervisor = Supervisor::new(&self.config, self.launcher, cluster.clone());
        spawn_feeds(&cluster, &supervisor);
        let client = Client::new(&self.config, ClientOptions::default());
        let messages = Messages::new(client, cluster.clone());
        let sockets = Sockets::new(closing.clone());
        let service = Arc::new(Service {
            cluster: cluster.clone(),
            supervisor: supervisor.clone(),
            messages: messages.clone(),
        });
        let state = http::Gateway {
            service,
            cluster,
            supervisor: supervisor.clone(),
            messages,
            sockets: sockets.clone(),
            data_root,
            leptos: leptos_options(),
        };
        let router = http::router(state, self.address.port());
        let serving = tokio::spawn(http::serve(self.listener, router, closing.clone()));
        closing.cancelled().await;
        tokio::join!(supervisor.shutdown(), sockets.wait(), async {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server broke down");
            }
        });
    }
}
