//! The closed sets of ciphertext reasons.

macro_rules! reasons {
    ($(#[doc = $enum_doc:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $enum_doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The token on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Why octets cannot be a ciphertext: the `reason` of `INVALID_CIPHERTEXT`.
    InvalidReason {
        /// No known magic.
        BadMagic = "bad_magic",
        /// A known magic with an unknown format version.
        BadVersion = "bad_version",
        /// A container of another kind.
        WrongKind = "wrong_kind",
        /// The length is not the one that the header implies.
        LengthMismatch = "length_mismatch",
        /// The octets end inside the header or the body.
        Truncated = "truncated",
        /// Octets follow the end of the container.
        TrailingBytes = "trailing_bytes",
        /// A residue is not below its modulus.
        CoefficientOutOfRange = "coefficient_out_of_range",
        /// The scale is not a finite positive number of the allowed form.
        BadScale = "bad_scale",
        /// A second way to write the same thing.
        NonCanonical = "non_canonical",
    }
}

reasons! {
    /// Why a ciphertext does not fit the model: the `reason` of `INCOMPATIBLE_CIPHERTEXT`.
    IncompatibleReason {
        /// Other parameters.
        Params = "params",
        /// Another level.
        Level = "level",
        /// Another scale.
        Scale = "scale",
        /// Another number of polynomials.
        PolynomialCount = "polynomial_count",
        /// The other form (NTT, coefficients), or other coefficient ranges.
        Form = "form",
    }
}
