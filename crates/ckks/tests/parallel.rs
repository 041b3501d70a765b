//! On two threads and on four everything comes out as on one, bit for bit.

mod common;

use common::{Fixture, Set};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Ciphertext, GaloisKeys, PublicKey, RelinKey};
use hei_ring::GaloisElement;
use hei_ring::parallel::Threads;

/// Few limbs and many, one special prime and several; large enough to be divided.
const DIVIDED: [Set; 4] = [
    (4096, &[36, 34, 36], 1, 30),
    (16384, &[60, 30, 30, 60], 1, 30),
    (8192, &[45, 40, 40, 40, 45, 45], 2, 38),
    (32768, &[50, 47, 47, 47, 47, 47, 47, 50, 50, 50], 3, 45),
];

/// What one run of everything makes, from the same randomness each time.
#[derive(PartialEq)]
struct Everything {
    public: PublicKey,
    relin: RelinKey,
    galois: GaloisKeys,
    values: Vec<Ciphertext>,
    decrypted: Vec<u64>,
}

fn everything(f: &Fixture) -> Everything {
    let mut randomness = SeededRandomness::new(77);
    let public = f.key.public_key(&mut randomness).unwrap();
    let relin = f.key.relin_key(&mut randomness).unwrap();
    let elements = [1, 5].map(|step| GaloisElement::rotation(step, f.degree()));
    let galois = f.key.galois_keys(&elements, &mut randomness).unwrap();
    let plaintext = f.encoder.encode(&f.numbers(3), f.top(), f.context.scale()).unwrap();
    let a = f.key.encrypt(&plaintext, &mut randomness).unwrap();
    let b = public.encrypt(&plaintext, &mut randomness).unwrap();
    let e = &f.evaluator;
    let product = e.multiply(&a, &b).unwrap();
    let hoisted = e.hoist(&a).unwrap();
    let extended = e.rotate_extended(&hoisted, 5, &galois).unwrap();
    let weights = e.extend_plaintext(&plaintext).unwrap();
    let zero =
        e.weighted_sums_extended(&[vec![(&extended, &weights)], vec![(&extended, &weights); 2]]).unwrap();
    let mut sum = e.zero_extended(f.top(), zero[0].scale()).unwrap();
    e.rotate_extended_add_assign(&mut sum, zero[1].clone(), 1, &galois).unwrap();
    let mut values = vec![
        e.add(&a, &b).unwrap(),
        e.multiply_plain(&a, &plaintext).unwrap(),
        e.square(&a).unwrap(),
        e.rescale(&a).unwrap(),
        e.relinearize(&product, &relin).unwrap(),
        e.relinearize_rescale(&product, &relin).unwrap(),
        e.rotate(&a, 1, &galois).unwrap(),
        e.rotate_hoisted(&hoisted, 5, &galois).unwrap(),
        e.finish_rescaled(sum).unwrap(),
    ];
    let decrypted = f.key.decrypt(&values[5]).unwrap();
    let decoded = f.encoder.decode(&decrypted).into_iter().map(f64::to_bits);
    let decrypted = decrypted.poly().data().iter().copied().chain(decoded).collect();
    values.extend([a, b, product]);
    Everything { public, relin, galois, values, decrypted }
}

#[test]
fn threads_change_nothing() {
    for (i, set) in DIVIDED.into_iter().enumerate() {
        let f = Fixture::new(set, 500 + i as u64);
        let alone = everything(&f);
        for count in [1, 2, 4] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count);
            let together = threads.run(|| everything(&f));
            assert!(alone == together, "{} on {count} threads", f.name);
        }
    }
}

/// Outside of a pool nothing is divided: no thread is started behind anybody's back.
#[cfg(target_os = "linux")]
#[test]
fn without_a_pool_there_are_no_threads() {
    let count = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
        let name =
            |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.map(name).filter(|name| !name.starts_with("hei-limbs") && name.starts_with("rayon")).count()
    };
    let f = Fixture::new(DIVIDED[1], 9);
    let alone = everything(&f);
    assert_eq!(count(), 0, "rayon's global pool was not started");
    assert!(Threads::new(2).unwrap().run(|| everything(&f)) == alone);
    assert_eq!(count(), 0);
}
