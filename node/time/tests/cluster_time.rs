//! Whole clusters' clocks over seconds and hours of simulated time. Every event compares what the nodes say with the truth
//! (`support`): measured offsets, the distance of any two readings, and that cluster time does not go back.

mod support;

use support::{Dice, LOOPBACK, Machine, Net, World};
use wiber_time::{MS, News, SECOND, US};

fn skewed() -> [Machine; 3] {
    [
        Machine::new(250 * MS, 0),
        Machine::new(-40 * MS, 0),
        Machine::new(0, 30_000),
    ]
}

#[test]
fn skewed_clocks_share_a_time_within_seconds_and_its_bound_is_small_within_a_minute() {
    for seed in 0..20 {
        let mut world = World::new(seed, LOOPBACK, &skewed());
        world.run(3 * SECOND);
        assert!(
            world.worst_bound_ns().is_some(),
            "seed {seed}: not synchronised after 3 s"
        );
        world.run(57 * SECOND);
        let bound_ns = world.worst_bound_ns().unwrap();
        assert!(
            bound_ns <= 200 * US,
            "seed {seed}: ± {bound_ns} ns after a minute"
        );
        assert!(world.spread_ns() < 100 * US, "seed {seed}: {}", world.spread_ns());
        assert!(world.offsets_checked > 500 && world.readings_checked > 500);
    }
}

#[test]
fn a_clock_five_seconds_wrong_is_named_within_three() {
    for seed in 0..20 {
        let mut world = World::new(seed, LOOPBACK, &skewed());
        world.run(20 * SECOND);
        world.set_wall(2, if seed % 2 == 0 { 5 * SECOND } else { -5 * SECOND });
        let mut waited_ns = 0;
        while !world.is_named(2) {
            world.run(50 * MS);
            waited_ns += 50 * MS;
            assert!(waited_ns <= 3 * SECOND, "seed {seed}: not named");
        }
        // Cluster time is the others' and goes on.
        world.run(5 * SECOND);
        assert!(world.worst_bound_ns().is_some());
        world.set_wall(2, if seed % 2 == 0 { -5 * SECOND } else { 5 * SECOND });
        world.run(3 * SECOND);
        assert!(!world.is_named(2));
        let agrees = world.nodes[0]
            .news
            .iter()
            .any(|(_, news)| matches!(news, News::AgreesAgain { name } if name == "n3"));
        assert!(agrees);
    }
}

#[test]
fn a_clock_that_is_wrong_from_the_start_is_outvoted() {
    let mut machines = skewed();
    machines[0] = Machine::new(-7_200 * SECOND, 0);
    let mut world = World::new(5, LOOPBACK, &machines);
    world.run(5 * SECOND);
    assert!(world.is_named(0));
    // And does not pull cluster time: that lies between the other two.
    let now = world.now_of(1);
    let cluster_ns = world.stamp(1).cluster_ns;
    assert!((cluster_ns - now.wall_ns).abs() < 100 * MS);
}

#[test]
fn without_a_majority_of_agreeing_clocks_nothing_is_claimed() {
    let machines = [
        Machine::new(0, 0),
        Machine::new(10 * SECOND, 0),
        Machine::new(-10 * SECOND, 0),
    ];
    let mut world = World::new(1, LOOPBACK, &machines);
    world.run(10 * SECOND);
    for node in 0..3 {
        assert!(!world.is_synchronised(node));
        assert_eq!(world.nodes[node].keeper.reason(), Some("no 2 of 3 clocks agree"));
    }
    // They also stop claiming it when it is so later.
    let mut world = World::new(1, LOOPBACK, &skewed());
    world.run(10 * SECOND);
    world.set_wall(0, 10 * SECOND);
    world.set_wall(1, -10 * SECOND);
    world.run(3 * SECOND);
    assert!((0..3).all(|node| !world.is_synchronised(node)));
}

#[test]
fn alone_a_node_claims_nothing_after_the_lease() {
    let mut world = World::new(2, LOOPBACK, &skewed());
    world.run(10 * SECOND);
    world.isolate(0, true);
    world.run(3_500 * MS);
    assert!(!world.is_synchronised(0));
    assert_eq!(world.nodes[0].keeper.reason(), Some("hears 1 of 3 clocks"));
    assert!(world.is_synchronised(1) && world.is_synchronised(2));
    // Back after an hour it is still where the others are, or comes back to them.
    world.run(3_600 * SECOND);
    world.isolate(0, false);
    world.run(10 * SECOND);
    assert!(
        world.worst_bound_ns().is_some(),
        "{:?}",
        world.nodes[0].keeper.reason()
    );
}

#[test]
fn a_node_that_starts_again_takes_over_the_time_of_the_others() {
    let mut world = World::new(3, LOOPBACK, &skewed());
    world.run(30 * SECOND);
    for node in [0, 1, 2, 0] {
        world.stop(node);
        world.run(5 * SECOND);
        let others: Vec<_> = (0..3).filter(|other| *other != node).collect();
        assert!(others.iter().all(|other| world.is_synchronised(*other)));
        world.start(node);
        world.run(2 * SECOND);
        assert!(
            world.is_synchronised(node),
            "{:?}",
            world.nodes[node].keeper.reason()
        );
    }
    // The skewed one's death moved nothing: cluster time is not taken from clocks that are there by chance.
    let steps: u64 = world.nodes.iter().map(|node| node.keeper.cluster_steps()).sum();
    assert_eq!(steps, 0);
}

#[test]
fn a_machine_that_slept_sets_cluster_time_ahead_once() {
    let mut world = World::new(4, LOOPBACK, &skewed());
    world.run(20 * SECOND);
    let before_ns = world.stamp(0).cluster_ns;
    world.suspend_all(8 * 3_600 * SECOND);
    world.run(12 * SECOND);
    for node in 0..3 {
        assert!(
            world.is_synchronised(node),
            "{:?}",
            world.nodes[node].keeper.reason()
        );
        assert_eq!(world.nodes[node].keeper.cluster_steps(), 1);
        assert!(world.stamp(node).cluster_ns - before_ns > 8 * 3_600 * SECOND);
    }
}

/// What was lost: an hour. A machine that had slept alone read an old course as if nothing had happened, until it heard the others.
#[test]
fn a_machine_that_slept_alone_claims_nothing_until_it_has_heard_the_others() {
    for (seed, slept_ns) in [(1, 3_600 * SECOND), (2, 20 * SECOND), (3, 300 * MS)] {
        let mut world = World::new(seed, LOOPBACK, &skewed());
        world.run(20 * SECOND);
        world.sleep_one(2, slept_ns);
        assert!(!world.is_synchronised(2), "after {slept_ns} ns");
        world.run(5 * SECOND);
        assert!(
            world.worst_bound_ns().is_some(),
            "{:?}",
            world.nodes[2].keeper.reason()
        );
        assert!(world.spread_ns() < MS, "{}", world.spread_ns());
    }
}

#[test]
fn a_clock_that_comes_back_after_an_hour_of_wandering_is_measured_right() {
    let mut world = World::new(7, LOOPBACK, &skewed());
    world.run(90 * SECOND);
    world.isolate(2, true);
    for minute in 0..70 {
        world.run(60 * SECOND);
        // As fast as a rate may wander, over the last ten minutes.
        if minute >= 60 {
            world.set_rate(2, 30_000 + (minute - 59) * 4_800);
        }
    }
    world.isolate(2, false);
    world.run(30 * SECOND);
    assert!(world.worst_bound_ns().is_some());
}

#[test]
fn one_node_that_is_hours_off_is_not_followed() {
    let mut world = World::new(8, LOOPBACK, &skewed());
    world.run(10 * SECOND);
    // n3 keeps an old cluster time while the other two begin anew with clocks five hours ahead of it.
    world.stop(0);
    world.stop(1);
    for node in 0..3 {
        world.set_wall(node, 5 * 3_600 * SECOND);
    }
    world.start(0);
    world.start(1);
    world.run(20 * SECOND);
    assert!(world.worst_bound_ns().is_some());
    let now = world.now_of(0);
    assert!((world.stamp(0).cluster_ns - now.wall_ns).abs() < SECOND);
}

/// What was lost: a minute, uncounted. A node that came back did not follow the one that was left, and both began anew.
#[test]
fn cluster_time_that_is_ahead_of_the_clocks_outlives_all_nodes_but_one() {
    let mut world = World::new(10, LOOPBACK, &skewed());
    world.run(10 * SECOND);
    for node in 0..3 {
        world.set_wall(node, -60 * SECOND);
    }
    world.run(5 * SECOND);
    let before_ns = world.stamp(0).cluster_ns;
    world.stop(1);
    world.stop(2);
    world.run(3 * SECOND);
    world.start(1);
    world.run(20 * SECOND);
    assert!(world.is_synchronised(0) && world.is_synchronised(1));
    assert!(world.stamp(0).cluster_ns > before_ns + 22 * SECOND);
    assert_eq!(world.nodes[0].keeper.cluster_steps(), 0);
}

#[test]
fn cluster_time_comes_to_the_middle_of_the_clocks_that_agree() {
    let mut world = World::new(
        11,
        LOOPBACK,
        &[Machine::new(0, 0), Machine::new(0, 0), Machine::new(0, 0)],
    );
    world.run(10 * SECOND);
    for node in 0..3 {
        world.set_wall(node, -3 * MS);
    }
    world.run(1_200 * SECOND);
    let off_ns = world.stamp(0).cluster_ns - world.now_of(0).wall_ns;
    assert!(off_ns.abs() < MS, "{off_ns}");
}

/// What was lost: peace. Every telling of the members made the outvoted one news again.
#[test]
fn an_outvoted_clock_is_news_once() {
    let mut world = World::new(9, LOOPBACK, &skewed());
    world.run(10 * SECOND);
    world.set_wall(2, 5 * SECOND);
    for _ in 0..20 {
        world.run(500 * MS);
        world.tell_members();
    }
    let told = |news: &&(i64, News)| matches!(news.1, News::Outvoted { .. });
    assert_eq!(world.nodes[0].news.iter().filter(told).count(), 1);
    assert!(world.is_named(2));
}

#[test]
fn clocks_that_are_all_set_back_do_not_take_cluster_time_with_them() {
    let mut world = World::new(6, LOOPBACK, &skewed());
    world.run(20 * SECOND);
    for node in 0..3 {
        world.set_wall(node, -3_600 * SECOND);
    }
    world.run(20 * SECOND);
    for node in 0..3 {
        assert!(world.is_synchronised(node));
        assert_eq!(world.nodes[node].keeper.cluster_steps(), 0);
        let now = world.now_of(node);
        let status = world.nodes[node].keeper.status(&now);
        assert!(
            status
                .reason
                .unwrap()
                .contains("ahead of the clocks that agree, and does not go back")
        );
    }
}

#[test]
fn a_process_that_stood_still_is_measured_right_when_it_goes_on() {
    for seed in 0..10 {
        let mut world = World::new(seed, LOOPBACK, &skewed());
        world.run(20 * SECOND);
        world.pause(1, 20 * SECOND);
        world.run(10 * SECOND);
        assert!(world.is_synchronised(0) && world.is_synchronised(2));
        let suspicion = world.nodes[0].keeper.peers()[0].suspicion(world.now_of(0).mono_ns);
        assert!(suspicion.unwrap() > 50.0);
        world.run(13 * SECOND);
        assert!(world.worst_bound_ns().is_some());
    }
}

#[test]
fn hours_of_drifting_clocks_faults_and_bad_networks() {
    let wide = Net {
        least_ns: 5 * MS,
        usual_ns: 30 * MS,
        worst_ns: 400 * MS,
        lost_one_in: 20,
    };
    for (seed, net, size, minutes) in [
        (1, LOOPBACK, 3, 180),
        (2, wide, 3, 90),
        (3, LOOPBACK, 5, 30),
        (4, wide, 5, 30),
    ] {
        let mut dice = Dice(seed);
        let mut rates: Vec<i64> = (0..size).map(|_| dice.between(-80_000, 80_000)).collect();
        let machines: Vec<Machine> = rates
            .iter()
            .map(|rate_ppb| Machine::new(dice.between(-200 * MS, 200 * MS), *rate_ppb))
            .collect();
        let mut world = World::new(seed, net, &machines);
        for _ in 0..minutes {
            world.run(60 * SECOND);
            let node = usize::try_from(dice.between(0, i64::from(size) - 1)).unwrap();
            match dice.between(0, 9) {
                0 => {
                    // One wrong clock at a time: what two do is said elsewhere.
                    set_right(&mut world);
                    world.set_wall(node, dice.between(-7_200 * SECOND, 7_200 * SECOND));
                }
                1 => {
                    world.stop(node);
                    world.run(dice.between(SECOND, 30 * SECOND));
                    world.start(node);
                }
                2 => {
                    world.isolate(node, true);
                    world.run(dice.between(SECOND, 120 * SECOND));
                    world.isolate(node, false);
                }
                3 => world.pause(node, dice.between(MS, 30 * SECOND)),
                4 => world.suspend_all(dice.between(SECOND, 3_600 * SECOND)),
                // The oscillators wander with the temperature.
                _ => {
                    for (node, rate_ppb) in rates.iter_mut().enumerate() {
                        *rate_ppb += dice.between(-1_000, 1_000);
                        world.set_rate(node, *rate_ppb);
                    }
                }
            }
        }
        set_right(&mut world);
        world.run(60 * SECOND);
        assert!(
            world.worst_bound_ns().is_some(),
            "seed {seed}: the healed cluster is not synchronised"
        );
        let hours = world.now_ns / (3_600 * SECOND);
        let (offsets, readings) = (world.offsets_checked, world.readings_checked);
        println!("seed {seed}: {hours} h, {offsets} offsets and {readings} pairs of readings compared");
        assert!(offsets > 100_000 && readings > 50_000);
    }
}

fn set_right(world: &mut World) {
    for node in 0..world.nodes.len() {
        let wrong_ns = world.now_of(node).injected_ns;
        world.set_wall(node, -wrong_ns);
    }
}
