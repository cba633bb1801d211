//! Listening sockets: one per worker on the same address, among which the kernel spreads connections (`SO_REUSEPORT`).

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::GateError;

/// Connections that the kernel keeps for a worker that has not accepted them yet.
const BACKLOG: i32 = 1024;

/// Binds `count` sockets.
pub(crate) fn bind(addr: SocketAddr, count: usize) -> Result<Vec<TcpListener>, GateError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => GateError::AddressInUse { addr, source },
        _ => GateError::Bind { addr, source },
    };
    // With SO_REUSEPORT a second gate of the same user could silently take half of the first one's clients: ask without it.
    drop(socket(addr, false).map_err(failed)?);
    let first = socket(addr, true).map_err(failed)?;
    let addr = first.local_addr().map_err(failed)?.as_socket().unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(addr, true).map_err(failed)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(failed)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

/// The address that was bound, with the port that the kernel chose.
pub(crate) fn local_addr(listeners: &[TcpListener], addr: SocketAddr) -> Result<SocketAddr, GateError> {
    match listeners.first().map(TcpListener::local_addr) {
        Some(local) => local.map_err(|source| GateError::Bind { addr, source }),
        None => Ok(addr),
    }
}

fn socket(addr: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}
