//! Probes over UDP, and when the kernel took them in.
//!
//! On a busy machine a datagram waits longer for its process than it was on its way. Linux notes when it arrived; that time is
//! by the machine's wall clock, so it is turned into an age at once. An age that is too small only widens a measurement, one
//! that is too large would falsify it: where the wall clock was set meanwhile, or the age is long, it counts as nothing.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use wiber_protocol::{membership::Member, probe::PROBE_BYTES};

use super::probes::{ProbeSocket, Received};
use crate::clock::{Clock, SystemClock};

/// After this time a host's name is looked up again.
const LOOKUP_NS: i64 = 30 * wiber_time::SECOND;
/// Names that are remembered; past it all are forgotten.
const MOST_NAMES: usize = 64;

/// The socket of one node.
pub(crate) struct UdpProbes {
    socket: UdpSocket,
    clock: SystemClock,
    names: Arc<Mutex<HashMap<String, Lookup>>>,
    arrivals: Mutex<arrival::Arrivals>,
}

#[derive(Clone, Copy)]
struct Lookup {
    address: Option<IpAddr>,
    asked_ns: i64,
}

impl UdpProbes {
    /// Must be called inside the runtime.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        arrival::prepare(&socket);
        Ok(Self {
            socket,
            clock: SystemClock::new(),
            names: Arc::default(),
            arrivals: Mutex::default(),
        })
    }

    /// The address of a member's host; a name is looked up beside, and known the next time.
    fn address(&self, member: &Member) -> Option<SocketAddr> {
        let port = member
            .port
            .checked_add(wiber_protocol::config::TIME_PORT_OFFSET)?;
        if let Ok(address) = member.host.parse::<IpAddr>() {
            return Some(SocketAddr::new(address, port));
        }
        let now_ns = self.clock.monotonic_ns();
        let mut names = self.names.lock();
        let known = names.get(&member.host).copied();
        if known.is_none_or(|known| now_ns - known.asked_ns > LOOKUP_NS) {
            if names.len() >= MOST_NAMES {
                names.clear();
            }
            let address = known.and_then(|known| known.address);
            names.insert(
                member.host.clone(),
                Lookup {
                    address,
                    asked_ns: now_ns,
                },
            );
            let (names, host, own) = (self.names.clone(), member.host.clone(), self.socket.local_addr());
            tokio::spawn(async move {
                let is_v4 = own.is_ok_and(|own| own.is_ipv4());
                let Ok(found) = tokio::net::lookup_host((host.as_str(), 0)).await else {
                    return;
                };
                let address = found.map(|found| found.ip()).find(|ip| ip.is_ipv4() == is_v4);
                names.lock().insert(
                    host,
                    Lookup {
                        address,
                        asked_ns: now_ns,
                    },
                );
            });
        }
        Some(SocketAddr::new(known?.address?, port))
    }

    fn send(&self, datagram: &Bytes, to: SocketAddr) {
        // A full buffer or an unreachable host loses a datagram, as the network may.
        if let Err(error) = self.socket.try_send_to(datagram, to) {
            tracing::trace!(target: "clock", "a datagram to {to} was not sent: {error}");
        }
    }
}

impl ProbeSocket for UdpProbes {
    fn ask(&self, member: &Member, datagram: Bytes) {
        if let Some(to) = self.address(member) {
            self.send(&datagram, to);
        }
    }

    fn answer(&self, to: SocketAddr, datagram: Bytes) {
        self.send(&datagram, to);
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Received> + Send + '_>> {
        Box::pin(async move {
            // One byte more, so that what is too long is refused and not cut to size.
            let mut buffer = [0; PROBE_BYTES + 1];
            loop {
                match arrival::receive(&self.socket, &mut buffer).await {
                    Ok((len, from, arrived_wall_ns)) => {
                        let age_ns = self.arrivals.lock().age_ns(arrived_wall_ns, &self.clock.now());
                        return Received {
                            bytes: Bytes::copy_from_slice(&buffer[..len]),
                            from,
                            age_ns,
                        };
                    }
                    // Nobody listened where a datagram of ours went; that is told here.
                    Err(error) => tracing::trace!(target: "clock", "no datagram was received: {error}"),
                }
            }
        })
    }
}

#[cfg(target_os = "linux")]
mod arrival {
    use std::{
        io::{self, IoSliceMut},
        net::{IpAddr, SocketAddr},
        os::fd::AsRawFd,
    };

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
    };
    use tokio::{io::Interest, net::UdpSocket};
    use wiber_time::{MS, Now};

    /// An older arrival counts as one of now.
    const OLDEST_NS: i64 = 20 * MS;
    /// The wall clock was set if it moved by more against the monotonic one.
    const SET_NS: i64 = MS;

    /// Turns the kernel's times into ages.
    #[derive(Default)]
    pub(super) struct Arrivals {
        /// The wall clock minus the monotonic one, when a datagram was last received.
        ahead_ns: i64,
        /// When the wall clock was last found to have moved, by the monotonic one.
        set_ns: i64,
    }

    impl Arrivals {
        /// How long before `now` a datagram arrived, at least.
        pub(super) fn age_ns(&mut self, arrived_wall_ns: Option<i64>, now: &Now) -> i64 {
            let moved_ns = now.wall_ahead_ns() - std::mem::replace(&mut self.ahead_ns, now.wall_ahead_ns());
            let moved_ns = moved_ns.saturating_abs();
            if moved_ns > SET_NS {
                self.set_ns = now.mono_ns;
            }
            let Some(arrived_ns) = arrived_wall_ns else {
                return 0;
            };
            let age_ns = now.wall_ns.saturating_sub(arrived_ns);
            let is_sure = (0..=OLDEST_NS).contains(&age_ns) && now.mono_ns - age_ns > self.set_ns;
            if !is_sure {
                return 0;
            }
            // The node's clock may be a false one that runs slow, and a time service may bend the wall clock: an age must
            // not be too large by it.
            (age_ns - age_ns / 100 - moved_ns - now.reading_ns).max(0)
        }
    }

    pub(super) fn prepare(socket: &UdpSocket) {
        if let Err(error) = setsockopt(socket, ReceiveTimestampns, &true) {
            tracing::debug!(target: "clock", "the kernel does not tell when datagrams arrive: {error}");
        }
    }

    /// Length, sender, and when the kernel took it in by the machine's wall clock.
    pub(super) async fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<i64>)> {
        socket
            .async_io(Interest::READABLE, || {
                let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
                let mut parts = [IoSliceMut::new(buffer)];
                let message = recvmsg::<SockaddrStorage>(
                    socket.as_raw_fd(),
                    &mut parts,
                    Some(&mut space),
                    MsgFlags::MSG_DONTWAIT,
                )?;
                let mut arrived_ns = None;
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmTimestampns(at) = control {
                        arrived_ns = Some(at.tv_sec() * 1_000_000_000 + at.tv_nsec());
                    }
                }
                let from = message.address.as_ref().and_then(address);
                let from = from.ok_or_else(|| io::Error::other("a datagram without a sender"))?;
                Ok((message.bytes, from, arrived_ns))
            })
            .await
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        if let Some(v4) = storage.as_sockaddr_in() {
            return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
        }
        let v6 = storage.as_sockaddr_in6()?;
        Some(SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn now(mono_ns: i64, wall_ahead_ns: i64) -> Now {
            Now {
                mono_ns,
                wall_ns: mono_ns + wall_ahead_ns,
                ..Now::default()
            }
        }

        #[test]
        fn an_age_is_what_the_kernel_says_and_never_more() {
            let mut arrivals = Arrivals::default();
            let at = |mono_ms: i64| now(mono_ms * MS, 500 * MS);
            let arrived = |mono_ms: i64| Some((mono_ms + 500) * MS);
            assert_eq!(
                arrivals.age_ns(arrived(0), &at(1)),
                0,
                "the first may be from before anything was known"
            );
            assert_eq!(arrivals.age_ns(arrived(90), &at(100)), 10 * MS - 10 * MS / 100);
            assert_eq!(arrivals.age_ns(None, &at(101)), 0);
            assert_eq!(arrivals.age_ns(arrived(50), &at(102)), 0, "too old to be trusted");
            assert_eq!(arrivals.age_ns(arrived(104), &at(103)), 0, "from the future");
        }

        /// What was lost: the truth, when two datagrams waited while the wall clock was set ahead. The first was noticed, the
        /// second's age was too large by the step.
        #[test]
        fn whatever_waited_while_the_wall_clock_was_set_has_no_age() {
            let mut arrivals = Arrivals::default();
            arrivals.age_ns(Some(500 * MS), &now(100 * MS, 500 * MS));
            for mono_ms in [200, 201] {
                let set_ahead = now(mono_ms * MS, 505 * MS);
                assert_eq!(arrivals.age_ns(Some(695 * MS), &set_ahead), 0);
            }
            let later = now(300 * MS, 505 * MS);
            assert!(arrivals.age_ns(Some(803 * MS), &later) > MS);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod arrival {
    use std::{io, net::SocketAddr};

    use tokio::net::UdpSocket;

    #[derive(Default)]
    pub(super) struct Arrivals;

    impl Arrivals {
        pub(super) fn age_ns(&mut self, _arrived_wall_ns: Option<i64>, _now: &wiber_time::Now) -> i64 {
            0
        }
    }

    pub(super) fn prepare(_socket: &UdpSocket) {}

    pub(super) async fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<i64>)> {
        let (len, from) = socket.recv_from(buffer).await?;
        Ok((len, from, None))
    }
}
