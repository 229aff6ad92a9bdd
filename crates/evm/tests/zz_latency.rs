#![allow(warnings)]
mod support;
use support::*;
use quittance_evm::*;
use quittance_protocol::*;
use serde_json::json;
use std::time::*;
#[tokio::test(flavor="multi_thread")]
async fn latency() {
    let net = devnet().await.unwrap();
    let (chain, counting) = net.connect(WALLET_KEY, 20).await;
    for n in 1..=16 { net.mint_fast(&payer(&key(n)).address(), 100_000).await; }
    net.mint(&payer(&key(99)).address(), 1).await;
    let mut all=vec![];
    let mut nonce = chain.transaction_count().await.unwrap();
    for round in 0..12u8 {
        let fees = chain.refresh_fees(0).await.unwrap();
        let view = chain.head().await.unwrap();
        let mut cursor = ScanCursor::default();
        let mut watched=vec![];
        chain.scan(&[], &mut cursor).await.unwrap();
        for n in 1..=16u8 {
            let p = net.payment(&chain, &key(n), 100, round*16+n);
            let s = chain.sign_settlement(&p, nonce, &fees, u128::MAX).unwrap(); nonce+=1;
            watched.push(watch(&p, Some(&s), view.block));
            let r=Recorded(s); let c=&chain; 
            c.send(&r).await;
        }
        // raw head watcher
        let url=net.url.clone();
        let last=watched[15].attempts[0].clone();
        let h=tokio::spawn(async move { let rpc=HttpRpc::new(&url,5000).unwrap(); loop { let r=rpc.call("eth_getTransactionReceipt", json!([last])).await.unwrap(); if !r.is_null(){return Instant::now();} tokio::time::sleep(Duration::from_millis(3)).await; } });
        let mut n=0; let mut end=Instant::now(); let t0=Instant::now();
        while n<16 { for (k,e) in chain.scan(&watched,&mut cursor).await.unwrap() { watched.retain(|w| w.payment.key()!=k); n+=1; end=Instant::now(); } tokio::time::sleep(Duration::from_millis(100)).await; }
        let seen=h.await.unwrap();
        all.push(end.saturating_duration_since(seen).as_millis());
    }
    all.sort(); println!("LAT {all:?}");
    let p = net.payment(&chain, &key(1), 100, 250);
    let t=Instant::now(); for _ in 0..2000 { chain.check_local(&net.payload(&key(1),100,250), now()).unwrap(); } println!("sign+check {:?}/2000", t.elapsed());
    let pl=net.payload(&key(1),100,250); let t=Instant::now(); for _ in 0..5000 { chain.check_local(&pl, now()).unwrap(); } println!("check {:?}/5000", t.elapsed());
}
