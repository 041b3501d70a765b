//! The transforms, instantiated for each arithmetic.

/// Words of a segment that is finished before the next is begun: 16 KiB, half of a first-level cache.
pub(super) const SEGMENT: usize = 2048;

/// Words of each of four places that are written and transformed before the next.
pub(super) const STRETCH: usize = 256;

/// Forward and inverse transforms of at least 128 words.
///
/// The last six layers (first six of the inverse) run in registers, on 64 words at a time; those above two at a time, so that
/// each word is moved half as often. Input is written, and output handed on, while it is in the first-level cache.
macro_rules! transform {
    ($features:literal) => {
        /// Twiddles and constants of a running transform.
        struct Run<'a> {
            /// Root and quotient of the layers above the last six.
            upper: &'a [[u64; 2]],
            /// Those of the last six layers, for each 64 words.
            blocks: &'a [[u64; 128]],
            p: Prime,
        }

        impl Run<'_> {
            #[inline]
            #[target_feature(enable = $features)]
            fn root(&self, i: usize) -> (__m512i, __m512i) {
                let [w, quotient] = self.upper[i];
                (splat(w), splat(quotient))
            }

            /// The roots of the two halves below a block's.
            #[inline]
            #[target_feature(enable = $features)]
            fn two_roots(&self, outer: usize) -> [(__m512i, __m512i); 2] {
                let pairs = &self.upper[2 * outer..2 * outer + 2];
                [pairs[0], pairs[1]].map(|[w, quotient]| (splat(w), splat(quotient)))
            }

            /// Without reductions, out is one product bound above x. With them, x in [0, 2B) and out in [0, 2B), where B is
            /// what a product stays below. y is any factor.
            #[inline]
            #[target_feature(enable = $features)]
            fn butterfly<const LAZY: bool>(
                &self,
                x: __m512i,
                y: __m512i,
                root: (__m512i, __m512i),
            ) -> (__m512i, __m512i) {
                let bound = arithmetic::bound(&self.p);
                let (x, t) = if LAZY {
                    (x, arithmetic::mul_loose(y, root.0, root.1, &self.p))
                } else {
                    (fold(x, bound), arithmetic::mul_bounded(y, root.0, root.1, &self.p))
                };
                (_mm512_add_epi64(x, t), _mm512_sub_epi64(_mm512_add_epi64(x, bound), t))
            }

            /// x, y in [0, bound). Without reductions the sum is in [0, 2 bound); with them `bound` is what a product stays
            /// below, and the sum as well.
            #[inline]
            #[target_feature(enable = $features)]
            fn unbutterfly<const LAZY: bool>(
                &self,
                x: __m512i,
                y: __m512i,
                root: (__m512i, __m512i),
                bound: __m512i,
            ) -> (__m512i, __m512i) {
                let sum = _mm512_add_epi64(x, y);
                let difference = _mm512_sub_epi64(_mm512_add_epi64(x, bound), y);
                if LAZY {
                    (sum, arithmetic::mul_loose(difference, root.0, root.1, &self.p))
                } else {
                    (fold(sum, bound), arithmetic::mul_bounded(difference, root.0, root.1, &self.p))
                }
            }

            /// All remaining layers of a segment that starts at word `start` and is block `block` of the `m` blocks of its
            /// layer. Stretches that are finished go to `done`.
            #[target_feature(enable = $features)]
            fn forward<const LAZY: bool>(
                &self,
                a: &mut [u64],
                (m, block): (usize, usize),
                start: usize,
                done: &mut dyn FnMut(usize, &mut [u64]),
            ) {
                if a.len() > crate::kernel::x86::transform::SEGMENT {
                    self.forward_two::<LAZY>(quarters(a), m + block);
                    let quarter = a.len() / 4;
                    for (i, part) in a.chunks_exact_mut(quarter).enumerate() {
                        self.forward::<LAZY>(part, (4 * m, 4 * block + i), start + i * quarter, done);
                    }
                    return;
                }
                let (mut len, mut m, mut block) = (a.len(), m, block);
                if (len / SIX).trailing_zeros() % 2 == 1 {
                    // An odd number of layers above the last six: one alone.
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.forward_one::<LAZY>(part, m + block + i);
                    }
                    (len, m, block) = (len / 2, 2 * m, 2 * block);
                }
                while len > SIX {
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.forward_two::<LAZY>(quarters(part), m + block + i);
                    }
                    (len, m, block) = (len / 4, 4 * m, 4 * block);
                }
                let roots = &self.blocks[start / SIX..][..a.len() / SIX];
                for (part, roots) in a.as_chunks_mut::<SIX>().0.iter_mut().zip(roots) {
                    self.forward_six::<LAZY>(part, roots);
                }
                done(start, a);
            }

            /// All of a forward transform.
            #[target_feature(enable = $features)]
            fn forward_all<const LAZY: bool>(
                &self,
                (a, top): (&mut [u64], usize),
                fill: &mut dyn FnMut(usize, &mut [u64]),
                done: &mut dyn FnMut(usize, &mut [u64]),
            ) {
                if a.len() <= crate::kernel::x86::transform::SEGMENT {
                    fill(0, a);
                    return self.forward::<LAZY>(a, (top, 0), 0, done);
                }
                self.forward_filled::<LAZY>((a, top), fill);
                let quarter = a.len() / 4;
                for (i, part) in a.chunks_exact_mut(quarter).enumerate() {
                    self.forward::<LAZY>(part, (4 * top, i), i * quarter, done);
                }
            }

            /// The first two layers of a transform that is longer than a segment, on input that `fill` writes just before.
            #[target_feature(enable = $features)]
            fn forward_filled<const LAZY: bool>(
                &self,
                (a, top): (&mut [u64], usize),
                fill: &mut dyn FnMut(usize, &mut [u64]),
            ) {
                let quarter = a.len() / 4;
                let parts =
                    quarters(a).map(|part| part.chunks_exact_mut(crate::kernel::x86::transform::STRETCH));
                let [a, b, c, d] = parts;
                for (i, (((a, b), c), d)) in a.zip(b).zip(c).zip(d).enumerate() {
                    let mut parts = [a, b, c, d];
                    for (k, part) in parts.iter_mut().enumerate() {
                        fill(k * quarter + i * crate::kernel::x86::transform::STRETCH, part);
                    }
                    self.forward_two::<LAZY>(parts, top);
                }
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

            /// Two layers over the quarters of a block: the root of the first is `outer`, those of the second 2 `outer` and the
            /// next.
            #[inline]
            #[target_feature(enable = $features)]
            fn forward_two<const LAZY: bool>(&self, quarters: [&mut [u64]; 4], outer: usize) {
                let (outer, [left, right]) = (self.root(outer), self.two_roots(outer));
                let [a0, a1, a2, a3] = quarters.map(|part| part.as_chunks_mut::<8>().0);
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

            /// The last six layers, in registers.
            #[inline]
            #[target_feature(enable = $features)]
            fn forward_six<const LAZY: bool>(&self, a: &mut [u64; SIX], roots: &[u64; 128]) {
                let a: &mut [[u64; 8]; 8] = bytemuck::must_cast_mut(a);
                let mut v = load_eight(a);
                for half in [4, 2, 1] {
                    for block in (0..8).step_by(2 * half) {
                        let at = (8 + block) / (2 * half);
                        let root = one(roots, at);
                        for i in block..block + half {
                            (v[i], v[i + half]) = self.butterfly::<LAZY>(v[i], v[i + half], root);
                        }
                    }
                }
                let mut v = transpose(v);
                for half in [4, 2, 1] {
                    for block in (0..8).step_by(2 * half) {
                        let at = (32 + 4 * block) / half;
                        let root = eight(roots, at);
                        for i in block..block + half {
                            (v[i], v[i + half]) = self.butterfly::<LAZY>(v[i], v[i + half], root);
                        }
                    }
                }
                *a = bytemuck::must_cast(transpose(v.map(|x| self.finish::<LAZY>(x))));
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn finish<const LAZY: bool>(&self, x: __m512i) -> __m512i {
                if LAZY {
                    arithmetic::reduce_lazy(x, &self.p)
                } else {
                    arithmetic::settle(fold(x, arithmetic::bound(&self.p)), &self.p)
                }
            }

            /// What words stay below before layer `layer` of an inverse transform, counted from the first.
            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_bound<const LAZY: bool>(&self, layer: u32) -> __m512i {
                if LAZY {
                    _mm512_sll_epi64(self.p.q, _mm_set_epi64x(0, i64::from(layer)))
                } else {
                    arithmetic::bound(&self.p)
                }
            }

            /// The layers below the topmost one, of a segment as in [`forward`](Self::forward), on input that `fill` writes.
            #[target_feature(enable = $features)]
            fn inverse<const LAZY: bool>(
                &self,
                a: &mut [u64],
                (m, block): (usize, usize),
                start: usize,
                fill: &mut dyn FnMut(usize, &mut [u64]),
            ) {
                if a.len() > crate::kernel::x86::transform::SEGMENT {
                    let quarter = a.len() / 4;
                    for (i, part) in a.chunks_exact_mut(quarter).enumerate() {
                        self.inverse::<LAZY>(part, (4 * m, 4 * block + i), start + i * quarter, fill);
                    }
                    self.inverse_two::<LAZY>(a, m + block);
                    return;
                }
                let blocks = a.len() / SIX;
                let roots = &self.blocks[start / SIX..][..blocks];
                let stretch = crate::kernel::x86::transform::STRETCH;
                for (i, (part, roots)) in a.chunks_mut(stretch).zip(roots.chunks(stretch / SIX)).enumerate() {
                    fill(start + i * stretch, part);
                    for (part, roots) in part.as_chunks_mut::<SIX>().0.iter_mut().zip(roots) {
                        self.inverse_six::<LAZY>(part, roots);
                    }
                }
                let mut len = SIX;
                if blocks.trailing_zeros() % 2 == 1 {
                    len = 2 * SIX;
                    let root = (m + block) * (a.len() / len);
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.inverse_one::<LAZY>(part, root + i);
                    }
                }
                while len < a.len() {
                    len *= 4;
                    let root = (m + block) * (a.len() / len);
                    for (i, part) in a.chunks_exact_mut(len).enumerate() {
                        self.inverse_two::<LAZY>(part, root + i);
                    }
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_one<const LAZY: bool>(&self, a: &mut [u64], root: usize) {
                let root = self.root(root);
                let bound = self.inverse_bound::<LAZY>(a.len().trailing_zeros() - 1);
                let (x, y) = a.split_at_mut(a.len() / 2);
                for (x, y) in x.as_chunks_mut::<8>().0.iter_mut().zip(y.as_chunks_mut::<8>().0) {
                    let (u, v) = self.unbutterfly::<LAZY>(load(x), load(y), root, bound);
                    store(x, u);
                    store(y, v);
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_two<const LAZY: bool>(&self, a: &mut [u64], outer: usize) {
                let (outer, [left, right]) = (self.root(outer), self.two_roots(outer));
                let layer = a.len().trailing_zeros() - 2;
                let (low, high) = (self.inverse_bound::<LAZY>(layer), self.inverse_bound::<LAZY>(layer + 1));
                let [a0, a1, a2, a3] = quarters(a).map(|part| part.as_chunks_mut::<8>().0);
                for (((x0, x1), x2), x3) in a0.iter_mut().zip(a1).zip(a2).zip(a3) {
                    let (v0, v1) = self.unbutterfly::<LAZY>(load(x0), load(x1), left, low);
                    let (v2, v3) = self.unbutterfly::<LAZY>(load(x2), load(x3), right, low);
                    let (v0, v2) = self.unbutterfly::<LAZY>(v0, v2, outer, high);
                    let (v1, v3) = self.unbutterfly::<LAZY>(v1, v3, outer, high);
                    store(x0, v0);
                    store(x1, v1);
                    store(x2, v2);
                    store(x3, v3);
                }
            }

            /// The first six layers, in registers.
            #[inline]
            #[target_feature(enable = $features)]
            fn inverse_six<const LAZY: bool>(&self, a: &mut [u64; SIX], roots: &[u64; 128]) {
                let a: &mut [[u64; 8]; 8] = bytemuck::must_cast_mut(a);
                let mut v = transpose(load_eight(a));
                for (layer, half) in [(0, 1), (1, 2), (2, 4)] {
                    let bound = self.inverse_bound::<LAZY>(layer);
                    for block in (0..8).step_by(2 * half) {
                        let at = (32 + 4 * block) / half;
                        let root = eight(roots, at);
                        for i in block..block + half {
                            (v[i], v[i + half]) = self.unbutterfly::<LAZY>(v[i], v[i + half], root, bound);
                        }
                    }
                }
                let mut v = transpose(v);
                for (layer, half) in [(3, 1), (4, 2), (5, 4)] {
                    let bound = self.inverse_bound::<LAZY>(layer);
                    for block in (0..8).step_by(2 * half) {
                        let at = (8 + block) / (2 * half);
                        let root = one(roots, at);
                        for i in block..block + half {
                            (v[i], v[i + half]) = self.unbutterfly::<LAZY>(v[i], v[i + half], root, bound);
                        }
                    }
                }
                *a = bytemuck::must_cast(v);
            }

            /// All of an inverse transform; the division by N is in the last layer.
            #[target_feature(enable = $features)]
            fn inverse_all<const LAZY: bool>(
                &self,
                a: &mut [u64],
                last: [Shoup; 2],
                fill: &mut dyn FnMut(usize, &mut [u64]),
                done: &mut dyn FnMut(usize, &mut [u64]),
            ) {
                let (p, half) = (&self.p, a.len() / 2);
                let bound = self.inverse_bound::<LAZY>(half.trailing_zeros());
                let (low, high) = a.split_at_mut(half);
                self.inverse::<LAZY>(low, (2, 0), 0, fill);
                self.inverse::<LAZY>(high, (2, 1), half, fill);
                let [x_root, y_root] =
                    last.map(|s| (splat(s.value), splat(arithmetic::quotient(s.quotient))));
                let stretch = crate::kernel::x86::transform::STRETCH;
                for (i, (low, high)) in low.chunks_mut(stretch).zip(high.chunks_mut(stretch)).enumerate() {
                    for (x, y) in low.as_chunks_mut::<8>().0.iter_mut().zip(high.as_chunks_mut::<8>().0) {
                        let (u, v) = (load(x), load(y));
                        let difference = _mm512_sub_epi64(_mm512_add_epi64(u, bound), v);
                        let sum = _mm512_add_epi64(u, v);
                        let x_word = arithmetic::mul_bounded(sum, x_root.0, x_root.1, p);
                        let y_word = arithmetic::mul_bounded(difference, y_root.0, y_root.1, p);
                        store(x, arithmetic::settle(x_word, p));
                        store(y, arithmetic::settle(y_word, p));
                    }
                    done(i * stretch, low);
                    done(half + i * stretch, high);
                }
            }
        }

        /// The root at a place of a block, in all lanes.
        #[inline]
        #[target_feature(enable = $features)]
        fn one(roots: &[u64; 128], at: usize) -> (__m512i, __m512i) {
            (splat(roots[at]), splat(roots[SIX + at]))
        }

        /// Eight roots from a place of a block on.
        #[inline]
        #[target_feature(enable = $features)]
        fn eight(roots: &[u64; 128], at: usize) -> (__m512i, __m512i) {
            let roots: &[[u64; 8]; 16] = bytemuck::must_cast_ref(roots);
            (load(&roots[at / 8]), load(&roots[8 + at / 8]))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn load_eight(words: &[[u64; 8]; 8]) -> [__m512i; 8] {
            bytemuck::must_cast(*words)
        }

        /// Words of the last six layers.
        const SIX: usize = 64;

        #[inline]
        fn quarters(a: &mut [u64]) -> [&mut [u64]; 4] {
            let (low, high) = a.split_at_mut(a.len() / 2);
            let (a0, a1) = low.split_at_mut(low.len() / 2);
            let (a2, a3) = high.split_at_mut(high.len() / 2);
            [a0, a1, a2, a3]
        }

        /// The forward transform of what `fill` writes; finished stretches go to `done`.
        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn forward(
            (a, top): (&mut [u64], usize),
            (upper, blocks): (&[[u64; 2]], &[[u64; 128]]),
            modulus: &Modulus,
            fill: &mut dyn FnMut(usize, &mut [u64]),
            done: &mut dyn FnMut(usize, &mut [u64]),
        ) {
            let run = Run { upper, blocks, p: Prime::new(modulus) };
            if arithmetic::lazy(modulus.value(), a.len().trailing_zeros()) {
                run.forward_all::<true>((a, top), fill, done);
            } else {
                run.forward_all::<false>((a, top), fill, done);
            }
        }

        /// The inverse transform of what `fill` writes; finished stretches go to `done`.
        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn inverse(
            a: &mut [u64],
            (upper, blocks): (&[[u64; 2]], &[[u64; 128]]),
            last: [Shoup; 2],
            modulus: &Modulus,
            fill: &mut dyn FnMut(usize, &mut [u64]),
            done: &mut dyn FnMut(usize, &mut [u64]),
        ) {
            let run = Run { upper, blocks, p: Prime::new(modulus) };
            if arithmetic::lazy_inverse(modulus.value(), a.len().trailing_zeros()) {
                run.inverse_all::<true>(a, last, fill, done);
            } else {
                run.inverse_all::<false>(a, last, fill, done);
            }
        }
    };
}

pub(super) use transform;
