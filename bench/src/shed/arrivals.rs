//! Who comes when, and how much work that is: drawn once per scene, so that every protection meets the same clients.

use crate::simulate::world::Scene;

/// A request that will be made. Times are those of the scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrival {
    pub(super) at_us: u64,
    pub(super) stream: u16,
    pub(super) user: u64,
    pub(super) work_us: u64,
}

/// Every arrival of a scene, in order.
pub(super) fn of(scene: &Scene) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (stream, settings) in scene.streams.iter().enumerate() {
        let mut rng = fastrand::Rng::with_seed(scene.seed + 1_000 * (stream as u64 + 1));
        let mut at_s = 0.0;
        loop {
            at_s += exponential(&mut rng) / (settings.rate)(at_s);
            if at_s >= scene.seconds {
                break;
            }
            let factor = if settings.random { exponential(&mut rng) } else { 1.0 };
            all.push(Arrival {
                at_us: (at_s * 1e6) as u64,
                stream: stream as u16,
                user: rng.u64(..settings.users),
                work_us: ((settings.work)(at_s) * factor * 1e6) as u64,
            });
        }
    }
    all.sort_by_key(|arrival| arrival.at_us);
    all
}

/// With mean 1.
fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_come_as_the_scene_says_and_always_the_same() {
        let scene = crate::simulate::scenes::burst(1).scene;
        let all = of(&scene);
        assert_eq!(all, of(&scene));
        assert!(all.is_sorted_by_key(|arrival| arrival.at_us));
        let in_burst = all.iter().filter(|one| (60_000_000..110_000_000).contains(&one.at_us)).count();
        // 33 per second for 50 s, give or take four standard deviations.
        assert!((1_500..=1_830).contains(&in_burst), "{in_burst}");
        assert!(all.iter().all(|arrival| arrival.work_us == 3_000_000));
    }
}
