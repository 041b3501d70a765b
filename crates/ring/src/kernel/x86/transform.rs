//! The transforms, instantiated for each arithmetic.

/// Words of a segment that is finished before the next is begun: 16 KiB, half of a first-level cache.
pub(super) const SEGMENT: usize = 2048;

/// Forward and inverse transforms of at least 32 words.
///
/// Layers whose butterflies reach across eight words or more run two at a time, so that each word is moved half as often;
/// the last three (first three of the inverse) run within registers, on sixteen words at a time.
macro_rules! transform {
    ($features:literal) => {
        /// Twiddles and constants of a running transform.
        struct Run<'a> {
            w: &'a [u64],
            quotients: &'a [u64],
            p: Prime,
        }

        impl Run<'_> {
            #[inline]
            #[target_feature(enable = $features)]
            fn root(&self, i: usize) -> (__m512i, __m512i) {
                (splat(self.w[i]), splat(self.quotients[i]))
            }

            /// x in [0, 4q), y in [0, 4q); out [0, 4q). Without reductions: out is 2q above the larger bound.
            #[inline]
            #[target_feature(enable = $features)]
            fn butterfly<const LAZY: bool>(
                &self,
                x: __m512i,
                y: __m512i,
                root: (__m512i, __m512i),
            ) -> (__m512i, __m512i) {
                let x = if LAZY { x } else { fold(x, self.p.two_q) };
                let t = arithmetic::mul_prepared(y, root.0, root.1, &self.p);
                (_mm512_add_epi64(x, t), _mm512_sub_epi64(_mm512_add_epi64(x, self.p.two_q), t))
            }

            /// x, y in [0, 2q); out [0, 2q).
            #[inline]
            #[target_feature(enable = $features)]
            fn unbutterfly(&self, x: __m512i, y: __m512i, root: (__m512i, __m512i)) -> (__m512i, __m512i) {
                let sum = fold(_mm512_add_epi64(x, y), self.p.two_q);
                let difference = _mm512_sub_epi64(_mm512_add_epi64(x, self.p.two_q), y);
                (sum, arithmetic::mul_prepared(difference, root.0, root.1, &self.p))
            }

            /// All remaining layers of a segment that is block `block` of the `m` blocks of its layer.
            #[target_feature(enable = $features)]
            fn forward<const LAZY: bool>(&self, a: &mut [u64], m: usize, block: usize) {
                if a.len() > crate::kernel::x86::transform::SEGMENT {
                    self.forward_two::<LAZY>(a, m + block, 2 * (m + block));
                    let quarter = a.len() / 4;
                    for (i, part) in a.chunks_exact_mut(quarter).enumerate() {
                        self.forward::<LAZY>(part, 4 * m, 4 * block + i);
                    }
                    return;
                }
                let (mut len, mut m, mut block) = (a.len(), m, block);
                if len.trailing_zeros() % 2 == 0 && len > 8 {
                    // An odd number of layers above the last three: one alone.
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.forward_one::<LAZY>(part, m + block + i);
                    }
                    (len, m, block) = (len / 2, 2 * m, 2 * block);
                }
                while len > 8 {
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        let root = m + block + i;
                        self.forward_two::<LAZY>(part, root, 2 * root);
                    }
                    (len, m, block) = (len / 4, 4 * m, 4 * block);
                }
                self.forward_last::<LAZY>(a, m + block);
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn forward_one<const LAZY: bool>(&self, a: &mut [u64], root: usize) {
                let root = self.root(root);
                let (x, y) = a.split_at_mut(a.len() / 2);
                for (x, y) in x.as_chunks_mut::<8>().0.iter_mut().zip(y.as_chunks_mut::<8>().0) {
                    let (u, v) = self.butterfly::<LAZY>(load(x), load(y), root);
                    store(x, u);
                    store(y, v);
                }
            }

            /// Two layers: `outer` is the root of the first, `inner` and `inner + 1` those of the second.
            #[inline]
            #[target_feature(enable = $features)]
            fn forward_two<const LAZY: bool>(&self, a: &mut [u64], outer: usize, inner: usize) {
                let (outer, left, right) = (self.root(outer), self.root(inner), self.root(inner + 1));
                let (low, high) = a.split_at_mut(a.len() / 2);
                let (a0, a1) = low.split_at_mut(low.len() / 2);
                let (a2, a3) = high.split_at_mut(high.len() / 2);
                let (a0, a1) = (a0.as_chunks_mut::<8>().0, a1.as_chunks_mut::<8>().0);
                let (a2, a3) = (a2.as_chunks_mut::<8>().0, a3.as_chunks_mut::<8>().0);
                for (((x0, x1), x2), x3) in a0.iter_mut().zip(a1).zip(a2).zip(a3) {
                    let (v0, v2) = self.butterfly::<LAZY>(load(x0), load(x2), outer);
                    let (v1, v3) = self.butterfly::<LAZY>(load(x1), load(x3), outer);
                    let (v0, v1) = self.butterfly::<LAZY>(v0, v1, left);
                    let (v2, v3) = self.butterfly::<LAZY>(v2, v3, right);
                    store(x0, v0);
                    store(x1, v1);
                    store(x2, v2);
                    store(x3, v3);
                }
            }

            /// The last three layers; `root` is that of the first word's block among blocks of eight words.
            #[inline]
            #[target_feature(enable = $features)]
            fn forward_last<const LAZY: bool>(&self, a: &mut [u64], root: usize) {
                let lanes = Lanes::new();
                for (i, pair) in a.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                    let r = root + 2 * i;
                    let (a, b) = halves(pair);
                    let (x, y) = (
                        _mm512_permutex2var_epi64(load(a), lanes.low4, load(b)),
                        _mm512_permutex2var_epi64(load(a), lanes.high4, load(b)),
                    );
                    let (x, y) = self.butterfly::<LAZY>(x, y, self.spread2(r, &lanes));
                    let (x, y) = (
                        _mm512_permutex2var_epi64(x, lanes.low2, y),
                        _mm512_permutex2var_epi64(x, lanes.high2, y),
                    );
                    let (x, y) = self.butterfly::<LAZY>(x, y, self.spread4(2 * r, &lanes));
                    let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
                    let (x, y) = self.butterfly::<LAZY>(x, y, self.each8(4 * r));
                    let (x, y) = (self.finish::<LAZY>(x), self.finish::<LAZY>(y));
                    store(a, _mm512_permutex2var_epi64(x, lanes.interleave_low, y));
                    store(b, _mm512_permutex2var_epi64(x, lanes.interleave_high, y));
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const LAZY: bool>(&self, x: __m512i) -> __m512i {
                if LAZY { arithmetic::reduce_lazy(x, &self.p) } else { fold(fold(x, self.p.two_q), self.p.q) }
            }

            /// The layers below the topmost one, of a segment as in [`forward`](Self::forward).
            #[target_feature(enable = $features)]
            fn inverse(&self, a: &mut [u64], m: usize, block: usize) {
                if a.len() > crate::kernel::x86::transform::SEGMENT {
                    let quarter = a.len() / 4;
                    for (i, part) in a.chunks_exact_mut(quarter).enumerate() {
                        self.inverse(part, 4 * m, 4 * block + i);
                    }
                    self.inverse_two(a, m + block, 2 * (m + block));
                    return;
                }
                let blocks = a.len() / 8;
                self.inverse_first(a, (m + block) * blocks);
                let mut len = 8;
                if a.len().trailing_zeros() % 2 == 0 {
                    len = 16;
                    let root = (m + block) * (a.len() / len);
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.inverse_one(part, root + i);
                    }
                }
                while len < a.len() {
                    len *= 4;
                    let root = (m + block) * (a.len() / len);
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.inverse_two(part, root + i, 2 * (root + i));
                    }
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_one(&self, a: &mut [u64], root: usize) {
                let root = self.root(root);
                let (x, y) = a.split_at_mut(a.len() / 2);
                for (x, y) in x.as_chunks_mut::<8>().0.iter_mut().zip(y.as_chunks_mut::<8>().0) {
                    let (u, v) = self.unbutterfly(load(x), load(y), root);
                    store(x, u);
                    store(y, v);
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_two(&self, a: &mut [u64], outer: usize, inner: usize) {
                let (outer, left, right) = (self.root(outer), self.root(inner), self.root(inner + 1));
                let (low, high) = a.split_at_mut(a.len() / 2);
                let (a0, a1) = low.split_at_mut(low.len() / 2);
                let (a2, a3) = high.split_at_mut(high.len() / 2);
                let (a0, a1) = (a0.as_chunks_mut::<8>().0, a1.as_chunks_mut::<8>().0);
                let (a2, a3) = (a2.as_chunks_mut::<8>().0, a3.as_chunks_mut::<8>().0);
                for (((x0, x1), x2), x3) in a0.iter_mut().zip(a1).zip(a2).zip(a3) {
                    let (v0, v1) = self.unbutterfly(load(x0), load(x1), left);
                    let (v2, v3) = self.unbutterfly(load(x2), load(x3), right);
                    let (v0, v2) = self.unbutterfly(v0, v2, outer);
                    let (v1, v3) = self.unbutterfly(v1, v3, outer);
                    store(x0, v0);
                    store(x1, v1);
                    store(x2, v2);
                    store(x3, v3);
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_first(&self, a: &mut [u64], root: usize) {
                let lanes = Lanes::new();
                for (i, pair) in a.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                    let r = root + 2 * i;
                    let (a, b) = halves(pair);
                    let (x, y) = (
                        _mm512_permutex2var_epi64(load(a), lanes.even, load(b)),
                        _mm512_permutex2var_epi64(load(a), lanes.odd, load(b)),
                    );
                    let (x, y) = self.unbutterfly(x, y, self.each8(4 * r));
                    let (x, y) = (_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
                    let (x, y) = self.unbutterfly(x, y, self.spread4(2 * r, &lanes));
                    let (x, y) = (
                        _mm512_permutex2var_epi64(x, lanes.low2, y),
                        _mm512_permutex2var_epi64(x, lanes.high2, y),
                    );
                    let (x, y) = self.unbutterfly(x, y, self.spread2(r, &lanes));
                    store(a, _mm512_permutex2var_epi64(x, lanes.low4, y));
                    store(b, _mm512_permutex2var_epi64(x, lanes.high4, y));
                }
            }

            /// Two roots, each in four lanes.
            #[inline]
            #[target_feature(enable = $features)]
            fn spread2(&self, i: usize, lanes: &Lanes) -> (__m512i, __m512i) {
                let pick = |t: &[u64]| {
                    let two: [u64; 2] = [t[i], t[i + 1]];
                    _mm512_permutexvar_epi64(lanes.spread2, _mm512_castsi128_si512(bytemuck::must_cast(two)))
                };
                (pick(self.w), pick(self.quotients))
            }

            /// Four roots, each in two lanes.
            #[inline]
            #[target_feature(enable = $features)]
            fn spread4(&self, i: usize, lanes: &Lanes) -> (__m512i, __m512i) {
                let pick = |t: &[u64]| {
                    let four: [u64; 4] = [t[i], t[i + 1], t[i + 2], t[i + 3]];
                    _mm512_permutexvar_epi64(lanes.spread4, _mm512_castsi256_si512(bytemuck::must_cast(four)))
                };
                (pick(self.w), pick(self.quotients))
            }

            /// Eight roots, one a lane.
            #[inline]
            #[target_feature(enable = $features)]
            fn each8(&self, i: usize) -> (__m512i, __m512i) {
                let pick = |t: &[u64]| {
                    let (eight, _) = t[i..].split_first_chunk::<8>().expect("the last layer has N/2 roots");
                    load(eight)
                };
                (pick(self.w), pick(self.quotients))
            }
        }

        /// Lane orders within sixteen words.
        struct Lanes {
            low4: __m512i,
            high4: __m512i,
            low2: __m512i,
            high2: __m512i,
            even: __m512i,
            odd: __m512i,
            interleave_low: __m512i,
            interleave_high: __m512i,
            spread2: __m512i,
            spread4: __m512i,
        }

        impl Lanes {
            #[inline]
            #[target_feature(enable = $features)]
            fn new() -> Self {
                let order = |lanes: [u64; 8]| load(&lanes);
                Self {
                    low4: order([0, 1, 2, 3, 8, 9, 10, 11]),
                    high4: order([4, 5, 6, 7, 12, 13, 14, 15]),
                    low2: order([0, 1, 8, 9, 4, 5, 12, 13]),
                    high2: order([2, 3, 10, 11, 6, 7, 14, 15]),
                    even: order([0, 2, 4, 6, 8, 10, 12, 14]),
                    odd: order([1, 3, 5, 7, 9, 11, 13, 15]),
                    interleave_low: order([0, 8, 1, 9, 2, 10, 3, 11]),
                    interleave_high: order([4, 12, 5, 13, 6, 14, 7, 15]),
                    spread2: order([0, 0, 0, 0, 1, 1, 1, 1]),
                    spread4: order([0, 0, 1, 1, 2, 2, 3, 3]),
                }
            }
        }

        #[inline]
        fn halves(pair: &mut [u64; 16]) -> (&mut [u64; 8], &mut [u64; 8]) {
            let (a, b) = pair.split_at_mut(8);
            let a: &mut [u64; 8] = a.try_into().expect("eight words");
            (a, b.try_into().expect("eight words"))
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn forward(a: &mut [u64], w: &[u64], quotients: &[u64], modulus: &Modulus) {
            let run = Run { w, quotients, p: Prime::new(modulus) };
            if arithmetic::lazy(modulus.value(), a.len().trailing_zeros()) {
                run.forward::<true>(a, 1, 0);
            } else {
                run.forward::<false>(a, 1, 0);
            }
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn inverse(
            a: &mut [u64],
            w: &[u64],
            quotients: &[u64],
            last: [Shoup; 2],
            modulus: &Modulus,
        ) {
            let run = Run { w, quotients, p: Prime::new(modulus) };
            // Both halves below the topmost layer, then that layer with the division by N.
            let half = a.len() / 2;
            let (low, high) = a.split_at_mut(half);
            run.inverse(low, 2, 0);
            run.inverse(high, 2, 1);
            let [x_root, y_root] = last.map(|s| (splat(s.value), splat(arithmetic::quotient(s.quotient))));
            for (x, y) in low.as_chunks_mut::<8>().0.iter_mut().zip(high.as_chunks_mut::<8>().0) {
                let (u, v) = (load(x), load(y));
                let difference = _mm512_sub_epi64(_mm512_add_epi64(u, run.p.two_q), v);
                let sum = _mm512_add_epi64(u, v);
                store(x, fold(arithmetic::mul_prepared(sum, x_root.0, x_root.1, &run.p), run.p.q));
                store(y, fold(arithmetic::mul_prepared(difference, y_root.0, y_root.1, &run.p), run.p.q));
            }
        }
    };
}

pub(super) use transform;
