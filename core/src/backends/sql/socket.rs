//! What the driver leaves unset on its sockets: small packets sent at once, and a wire that has died noticed.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (its issue 4335; the fix, pull request 4336, is not released). A statement that
//! leaves the cache of MySQL is closed by a packet without an answer, after which the next statement waited for the
//! server's delayed acknowledgement: 40 ms each. Nor does it send keepalives, without which a connection whose server has
//! vanished (a machine without power, a firewall that forgot it) is waited for until the system gives up, after a quarter
//! of an hour and more. The driver hands out no socket, so the sockets of this process that are connected to the server's
//! port are looked up.

use std::time::Duration;

use crate::config::{Config, Endpoint};

/// When a wire counts as dead.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// The idle time before the first keepalive; none is sent where absent.
    idle: Option<Duration>,
    /// How long sent bytes may stay unacknowledged.
    unacknowledged: Duration,
}

/// The pause between keepalives, and how many may stay unanswered.
const INTERVAL: Duration = Duration::from_secs(10);
const RETRIES: u32 = 6;

impl Patience {
    /// As the url has it, by the names of libpq; a minute of idling and two minutes of silence unless told.
    fn of(config: &Config) -> Self {
        let parameters = &config.parameters;
        let idle = parameters.span("keepalives_idle").unwrap_or(Duration::from_secs(60));
        let unacknowledged = parameters.span("tcp_user_timeout").unwrap_or(Duration::from_secs(120));
        Self { idle: parameters.truth("keepalives").unwrap_or(true).then_some(idle), unacknowledged }
    }
}

/// Sets up every socket of this process whose other end has the port of `endpoint`.
///
/// A socket that goes away meanwhile is passed over. A foreign socket to the same port is set too, which costs it nothing:
/// drivers set it themselves.
#[cfg(unix)]
pub(in crate::backends) fn set_up(endpoint: &Endpoint, config: &Config) {
    let Endpoint::Tcp { port, .. } = endpoint else { return };
    let patience = Patience::of(config);
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open {
        // SAFETY: the descriptor was open a moment ago. Should another thread have closed it, the calls below fail, or
        // ask another socket for its peer and set harmless options; nothing is read, written or closed.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
        let socket = socket2::SockRef::from(&borrowed);
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if peer.is_some_and(|peer| peer.port() == *port) {
            apply(&socket, patience);
        }
    }
}

/// Sets what the system knows of it; a system that does not know one goes on without.
#[cfg(unix)]
fn apply(socket: &socket2::SockRef<'_>, patience: Patience) {
    let _ = socket.set_tcp_nodelay(true);
    if let Some(idle) = patience.idle {
        let keepalive = socket2::TcpKeepalive::new().with_time(idle).with_interval(INTERVAL).with_retries(RETRIES);
        let _ = socket.set_tcp_keepalive(&keepalive);
    }
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(patience.unacknowledged));
}

#[cfg(not(unix))]
pub(in crate::backends) fn set_up(_endpoint: &Endpoint, _config: &Config) {}

#[cfg(all(test, unix))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use socket2::SockRef;

    use crate::config::{Config, Endpoint};
    use crate::value::Map;

    #[test]
    fn sockets_to_the_port_are_set_up_and_others_are_left_alone() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let streams = ports.map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap());
        let url = "postgres://localhost/app?keepalives_idle=45&tcp_user_timeout=7";
        let config = Config::parse(url, &Map::new()).unwrap();
        super::set_up(&Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: ports[0] }, &config);
        assert_eq!(streams.each_ref().map(|stream| stream.nodelay().unwrap()), [true, false]);
        let [ours, foreign] = streams.each_ref().map(SockRef::from);
        assert_eq!([&ours, &foreign].map(|socket| socket.keepalive().unwrap()), [true, false]);
        assert_eq!(ours.tcp_keepalive_time().unwrap(), Duration::from_secs(45));
        #[cfg(target_os = "linux")]
        assert_eq!(ours.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    }
}
