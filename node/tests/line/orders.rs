//! `SUBSCRIBE --order`: by time of origin, held back for so long at most.

use std::time::{Duration, Instant};

use crate::{
    one,
    support::{cluster::Cluster, rows::record},
};

#[test]
fn a_record_is_held_back_for_so_long_and_no_longer() {
    const HOLD: Duration = Duration::from_millis(400);
    let cluster = one();
    let (mut publisher, mut conn) = (cluster.conn(0), cluster.conn(0));
    conn.check("SUBSCRIBE t --order 400", "OK subscribed t 1");
    let before = Instant::now();
    publisher.ask("PUB t --id m-1 x");
    publisher.ask("PUB t --id m-2 x");
    conn.check("PING", "PONG");
    let ids = [record(&conn.line()), record(&conn.line())].map(|record| record["id"].clone());
    assert_eq!(ids, ["m-1", "m-2"]);
    assert!(before.elapsed() >= HOLD, "{:?}", before.elapsed());
    // One that is so much newer lets it go early: both were published before this began.
    let mut again = cluster.conn(0);
    std::thread::sleep(Duration::from_millis(50));
    publisher.ask("PUB t --id m-3 x");
    again.check("SUBSCRIBE t --start --order 30", "OK subscribed t 1");
    for id in ["m-1", "m-2", "m-3"] {
        let record = record(&again.line());
        assert_eq!(record["id"], id);
        assert!(record.get("late").is_none());
    }
    again.check("UNSUB t", "OK unsubscribed t");
    assert!(again.ask("SUBSCRIBE t --order 0").starts_with("ERR usage: "));
}

/// Whatever the order in which three nodes' records are committed.
#[test]
fn records_of_several_nodes_come_by_time_of_origin_and_all_of_them() {
    const ROUNDS: usize = 150;
    let cluster = Cluster::start(3);
    let mut conn = cluster.conn(0);
    let answer = conn.ask("SUBSCRIBE t.* --order 1000");
    assert!(answer.starts_with("OK subscribed t.* after "), "{answer}");
    let mut publishers: Vec<_> = (0..3).map(|at| cluster.conn(at)).collect();
    for round in 0..ROUNDS {
        for (at, publisher) in publishers.iter_mut().enumerate() {
            publisher.send(format!("PUB t.{at} --id m-{round}-{at} x\n"));
        }
        for publisher in &mut publishers {
            let answer = publisher.line();
            assert!(answer.starts_with("OK "), "{answer}");
        }
    }
    let mut last = None;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 * ROUNDS {
        let record = record(&conn.line());
        let key = (
            record["corrected_ts"].to_string(),
            record["logical_time"].as_u64(),
            record["node"].to_string(),
        );
        assert!(ids.insert(record["id"].to_string()), "twice: {record}");
        if record.get("late").is_none() {
            assert!(last.as_ref() < Some(&key), "{last:?} before {key:?}");
            last = Some(key);
        } else {
            assert!(last.as_ref() > Some(&key), "{key:?} is not late behind {last:?}");
        }
    }
    conn.check("UNSUB t.*", "OK unsubscribed t.*");
}
