//! Small packets sent at once.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (its issue 4335; the fix, pull request 4336, is not released). A statement that
//! leaves the cache of MySQL is closed by a packet without an answer, after which the next statement waited for the
//! server's delayed acknowledgement: 40 ms each. The driver hands out no socket, so the sockets of this process that are
//! connected to the server's port are looked up. To be removed with the next sqlx.

use crate::config::Endpoint;

/// Sets `TCP_NODELAY` on every socket of this process whose other end has the port of `endpoint`.
///
/// A socket that goes away meanwhile is passed over. A foreign socket to the same port is set too, which costs it nothing:
/// drivers set it themselves.
#[cfg(unix)]
pub(in crate::backends) fn send_at_once(endpoint: &Endpoint) {
    let Endpoint::Tcp { port, .. } = endpoint else { return };
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open {
        // SAFETY: the descriptor was open a moment ago. Should another thread have closed it, the calls below fail, or
        // ask another socket for its peer and set a harmless option; nothing is read, written or closed.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
        let socket = socket2::SockRef::from(&borrowed);
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if peer.is_some_and(|peer| peer.port() == *port) {
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}

#[cfg(not(unix))]
pub(in crate::backends) fn send_at_once(_endpoint: &Endpoint) {}

#[cfg(all(test, unix))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use crate::config::Endpoint;

    #[test]
    fn sockets_to_the_port_send_at_once_and_others_are_left_alone() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let streams = ports.map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap());
        super::send_at_once(&Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: ports[0] });
        assert_eq!(streams.each_ref().map(|stream| stream.nodelay().unwrap()), [true, false]);
    }
}
