//! t
mod client; mod smol;
use client::*;
fn main(){ let mut h=smol::Smol::new(80,32,smol::Service::Echo); let mut c=Client::open(&mut h,80,32); let t=std::time::Instant::now(); for _ in 0..10000{c.round(&mut h,b"hello",5);} println!("{:?}",t.elapsed()/320000);}
