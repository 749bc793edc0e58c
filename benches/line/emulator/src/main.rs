//! A long line between two network namespaces: rate, one-way delay, random loss and a bounded queue in each direction.
//!
//! `line NAME_A NAME_B MBIT DELAY_US LOSS_PERCENT QUEUE_BYTES` makes two TUN devices and carries packets between them until
//! it is killed. The kernel's own emulator (netem) is missing on many virtual machines; this needs only /dev/net/tun.

use std::collections::VecDeque;
use std::error::Error;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

const TUNSETIFF: libc::Ioctl = 0x4004_54ca_u32 as libc::Ioctl;
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;
const MTU: usize = 2048;
/// Ethernet's preamble, header, checksum and gap, which the rate pays for as well.
const OVERHEAD: f64 = 38.0;
const BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Line {
    bytes_per_second: f64,
    delay: Duration,
    loss: u64,
    queue: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, mbit, delay, loss, queue] = arguments.as_slice() else {
        return Err("usage: line NAME_A NAME_B MBIT DELAY_US LOSS_PERCENT QUEUE_BYTES".into());
    };
    let line = Line {
        bytes_per_second: mbit.parse::<f64>()? * 1e6 / 8.0,
        delay: Duration::from_micros(delay.parse()?),
        loss: (loss.parse::<f64>()? / 100.0 * u64::MAX as f64) as u64,
        queue: queue.parse()?,
    };
    let (a, b) = (tun(a)?, tun(b)?);
    eprintln!("ready");
    std::thread::spawn(move || carry(a, b, line, 1));
    carry(b, a, line, 2)
}

fn tun(name: &str) -> std::io::Result<RawFd> {
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the path is a C string, and the request is as large as the kernel's `ifreq`.
    unsafe {
        let fd = libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_NONBLOCK);
        if fd < 0 || libc::ioctl(fd, TUNSETIFF, request.as_mut_ptr()) < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(fd)
    }
}

/// Carries packets one way.
fn carry(from: RawFd, to: RawFd, line: Line, seed: u64) -> ! {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut on_the_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let mut free = Instant::now();
    loop {
        let now = Instant::now();
        while on_the_way.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, packet)) = on_the_way.pop_front() else {
                break;
            };
            // SAFETY: the packet is that long. A full device drops it, as a line would.
            unsafe { libc::write(to, packet.as_ptr().cast(), packet.len()) };
            spare.push(packet);
        }
        let mut taken = 0;
        while taken < BATCH {
            let mut packet = spare.pop().unwrap_or_else(|| vec![0; MTU]);
            packet.resize(MTU, 0);
            // SAFETY: the buffer is MTU bytes long.
            let count = unsafe { libc::read(from, packet.as_mut_ptr().cast(), MTU) };
            let Ok(count @ 1..) = usize::try_from(count) else {
                spare.push(packet);
                break;
            };
            taken += 1;
            packet.truncate(count);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let start = free.max(now);
            let waiting = (start - now).as_secs_f64() * line.bytes_per_second;
            if random < line.loss || waiting > line.queue {
                spare.push(packet);
                continue;
            }
            free =
                start + Duration::from_secs_f64((count as f64 + OVERHEAD) / line.bytes_per_second);
            on_the_way.push_back((free + line.delay, packet));
        }
        if taken == 0 {
            let due = on_the_way
                .front()
                .map_or(Duration::from_secs(1), |(due, _)| {
                    due.saturating_duration_since(Instant::now())
                });
            let limit = libc::timespec {
                tv_sec: due.as_secs() as libc::time_t,
                tv_nsec: due.subsec_nanos().into(),
            };
            let mut wanted = libc::pollfd {
                fd: from,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one descriptor, and no signal mask.
            unsafe { libc::ppoll(&raw mut wanted, 1, &limit, std::ptr::null()) };
        }
    }
}
