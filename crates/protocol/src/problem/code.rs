//! The problem codes: one table, compared both ways with `spec/problems.toml`.

use std::fmt;

macro_rules! problem_codes {
    ($($variant:ident, $code:literal, $status:literal, $retryable:literal, $remedy:ident,
       $title:literal, $detail:literal;)+) => {
        /// A problem code: the stable identifier of one kind of refusal, with one meaning forever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $detail] $variant,)+
        }

        impl ProblemCode {
            /// Every code, in the order of the specification.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$variant,)+];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(ProblemCode::$variant => $code,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(ProblemCode::$variant => $status,)+ }
            }

            /// Whether the byte-identical request may succeed when it is sent again.
            pub fn retryable(self) -> bool {
                match self { $(ProblemCode::$variant => $retryable,)+ }
            }

            /// What the client can do about it.
            pub fn remedy(self) -> Remedy {
                match self { $(ProblemCode::$variant => Remedy::$remedy,)+ }
            }

            /// The short name for people.
            pub fn title(self) -> &'static str {
                match self { $(ProblemCode::$variant => $title,)+ }
            }

            /// The fixed sentence for people.
            pub fn detail(self) -> &'static str {
                match self { $(ProblemCode::$variant => $detail,)+ }
            }
        }
    };
}

problem_codes! {
    MalformedBody, "MALFORMED_BODY", 400, false, FixRequest,
        "Malformed body",
        "The body is not one well-formed document of its media type";
    InvalidSchema, "INVALID_SCHEMA", 400, false, FixRequest,
        "Invalid request",
        "Invalid infer request: the body does not satisfy the request schema, see errors";
    UnsupportedApiVersion, "UNSUPPORTED_API_VERSION", 400, false, UseSupportedVersion,
        "Unsupported API version",
        "The requested protocol version is not supported, see supported_versions";
    InvalidEncoding, "INVALID_ENCODING", 400, false, FixRequest,
        "Invalid payload encoding",
        "A payload is not valid hex or base64, or its encoding is not allowed in this media type";
    InvalidCiphertext, "INVALID_CIPHERTEXT", 400, false, FixRequest,
        "Invalid ciphertext",
        "A payload is not a ciphertext container";
    SecretKeyRejected, "SECRET_KEY_REJECTED", 400, false, FixRequest,
        "Secret key rejected",
        "A payload is a secret key; it was refused and not kept. Treat the key as exposed and make a new one";
    BatchTooLarge, "BATCH_TOO_LARGE", 400, false, ReduceBatch,
        "Batch too large",
        "batch_size exceeds model max_batch_size";
    InputCountMismatch, "INPUT_COUNT_MISMATCH", 400, false, RefreshModels,
        "Wrong number of inputs",
        "Expected another number of inputs, the model card gives the number for each layout";
    InvalidIdempotencyKey, "INVALID_IDEMPOTENCY_KEY", 400, false, FixRequest,
        "Invalid idempotency key",
        "The Idempotency-Key header is neither a quoted string nor a token of 1 to 255 visible ASCII \
         characters";
    Unauthenticated, "UNAUTHENTICATED", 401, false, Authenticate,
        "Not authenticated",
        "A valid bearer token is required";
    Forbidden, "FORBIDDEN", 403, false, Authenticate,
        "Forbidden",
        "The credentials do not permit this request";
    NotFound, "NOT_FOUND", 404, false, None,
        "Not found",
        "No such resource";
    UnknownModel, "UNKNOWN_MODEL", 404, false, RefreshModels,
        "Unknown model",
        "Unknown model/version";
    JobNotFound, "JOB_NOT_FOUND", 404, false, None,
        "Unknown job",
        "Unknown job";
    KeyNotFound, "KEY_NOT_FOUND", 404, false, UploadEvaluationKey,
        "Unknown key",
        "Unknown key";
    MethodNotAllowed, "METHOD_NOT_ALLOWED", 405, false, None,
        "Method not allowed",
        "This resource does not have this method, see the Allow header";
    NotAcceptable, "NOT_ACCEPTABLE", 406, false, FixRequest,
        "Not acceptable",
        "None of the accepted media types can be produced";
    RequestTimeout, "REQUEST_TIMEOUT", 408, true, Wait,
        "Request timeout",
        "The body did not arrive in time";
    IncompatibleCiphertext, "INCOMPATIBLE_CIPHERTEXT", 409, false, RefreshModels,
        "Incompatible ciphertext",
        "A payload is a ciphertext, but not of the shape this model and layout need";
    EvaluationKeyRequired, "EVALUATION_KEY_REQUIRED", 409, false, UploadEvaluationKey,
        "Evaluation key required",
        "This layout needs an evaluation key and the request names none";
    EvaluationKeyNotFound, "EVALUATION_KEY_NOT_FOUND", 409, false, UploadEvaluationKey,
        "Evaluation key not found",
        "The named evaluation key is not stored; the same request succeeds after it is uploaded";
    EvaluationKeyIncompatible, "EVALUATION_KEY_INCOMPATIBLE", 409, false, UploadEvaluationKey,
        "Evaluation key incompatible",
        "The named evaluation key has other parameters or lacks elements this layout needs";
    KeyQuotaExceeded, "KEY_QUOTA_EXCEEDED", 409, false, DeleteKey,
        "Too many keys",
        "The tenant has as many stored keys as it may have";
    IdempotencyInProgress, "IDEMPOTENCY_IN_PROGRESS", 409, true, Wait,
        "Request in progress",
        "The first request with this idempotency key is still being read";
    JobNotCompleted, "JOB_NOT_COMPLETED", 409, true, Wait,
        "Job not completed",
        "The job has not completed yet";
    JobFailed, "JOB_FAILED", 409, false, None,
        "Job failed",
        "The job failed and has no result";
    JobExpired, "JOB_EXPIRED", 410, false, Resubmit,
        "Job expired",
        "The job has expired and its result is gone";
    PayloadTooLarge, "PAYLOAD_TOO_LARGE", 413, false, FixRequest,
        "Payload too large",
        "The body or a part of it is larger than an announced limit";
    UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", 415, false, FixRequest,
        "Unsupported media type",
        "The media type, charset or content encoding of the body is not supported";
    RangeNotSatisfiable, "RANGE_NOT_SATISFIABLE", 416, false, FixRequest,
        "Range not satisfiable",
        "The requested range lies beyond the end of the result";
    CryptoPolicyViolation, "CRYPTO_POLICY_VIOLATION", 422, false, FixRequest,
        "Refused by policy",
        "A payload is well-formed but refused: it does not hide what it holds";
    IdempotencyKeyReused, "IDEMPOTENCY_KEY_REUSED", 422, false, UseNewIdempotencyKey,
        "Idempotency key reused",
        "This idempotency key was used for a different request";
    KeyDigestMismatch, "KEY_DIGEST_MISMATCH", 422, true, Resubmit,
        "Key digest mismatch",
        "The octets received do not have the digest that names the key";
    InvalidKey, "INVALID_KEY", 422, false, FixRequest,
        "Invalid key",
        "The body is not an evaluation-key container";
    HeadersTooLarge, "HEADERS_TOO_LARGE", 431, false, FixRequest,
        "Headers too large",
        "The header section is larger than the server reads";
    RateLimited, "RATE_LIMITED", 429, true, Wait,
        "Too many requests",
        "A quota of this tenant is used up, see Retry-After";
    InternalError, "INTERNAL_ERROR", 500, false, None,
        "Internal error",
        "The server failed; tell its operator the request id";
    NotImplemented, "NOT_IMPLEMENTED", 501, false, None,
        "Not implemented",
        "This server does not offer this extension";
    CryptoBackendUnavailable, "CRYPTO_BACKEND_UNAVAILABLE", 503, true, Wait,
        "Backend unavailable",
        "The evaluation backend is not available";
    CryptoContextUnavailable, "CRYPTO_CONTEXT_UNAVAILABLE", 503, true, Wait,
        "Context unavailable",
        "The parameters are not initialized yet";
    QueueFull, "QUEUE_FULL", 503, true, Wait,
        "Queue full",
        "The server has no room for another job, see Retry-After";
    NotReady, "NOT_READY", 503, true, Wait,
        "Not ready",
        "The server is starting or draining";
}

impl ProblemCode {
    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        ProblemCode::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// The relative reference that names the code: `/problems/v1/unknown-model`.
    pub fn type_uri(self) -> String {
        format!("/problems/v1/{}", self.as_str().to_ascii_lowercase().replace('_', "-"))
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

macro_rules! remedies {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a client can do about a problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Remedy {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Remedy {
            /// Every remedy.
            pub const ALL: &'static [Remedy] = &[$(Remedy::$variant,)+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Remedy::$variant => $name,)+ }
            }
        }
    };
}

remedies! {
    /// Nothing.
    None = "none",
    /// Send another request.
    FixRequest = "fix_request",
    /// Ask for a version the server speaks.
    UseSupportedVersion = "use_supported_version",
    /// Send fewer rows.
    ReduceBatch = "reduce_batch",
    /// Read the models and the model's card again.
    RefreshModels = "refresh_models",
    /// Present credentials that permit the request.
    Authenticate = "authenticate",
    /// Upload the evaluation key.
    UploadEvaluationKey = "upload_evaluation_key",
    /// Delete a stored key.
    DeleteKey = "delete_key",
    /// Wait as long as `Retry-After` says and send the same request.
    Wait = "wait",
    /// Submit the request again.
    Resubmit = "resubmit",
    /// Submit with a new idempotency key.
    UseNewIdempotencyKey = "use_new_idempotency_key",
}

impl Remedy {
    /// The remedy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Remedy::ALL.iter().copied().find(|remedy| remedy.as_str() == name)
    }
}

macro_rules! job_error_codes {
    ($($variant:ident, $code:literal, $retryable:literal, $message:literal;)+) => {
        /// Why a job failed, inside a job that was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum JobErrorCode {
            $(#[doc = $message] $variant,)+
        }

        impl JobErrorCode {
            /// Every code.
            pub const ALL: &'static [JobErrorCode] = &[$(JobErrorCode::$variant,)+];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(JobErrorCode::$variant => $code,)+ }
            }

            /// Whether the same request may succeed as a new job, under a new idempotency key.
            pub fn retryable(self) -> bool {
                match self { $(JobErrorCode::$variant => $retryable,)+ }
            }

            /// The fixed sentence for people.
            pub fn message(self) -> &'static str {
                match self { $(JobErrorCode::$variant => $message,)+ }
            }
        }
    };
}

job_error_codes! {
    EvaluationFailed, "EVALUATION_FAILED", false,
        "The evaluation failed";
    JobDeadlineExceeded, "JOB_DEADLINE_EXCEEDED", true,
        "The job did not finish before its deadline";
    WorkerLost, "WORKER_LOST", true,
        "The worker running the job was lost and the server's own attempts are used up";
    ResultTooLarge, "RESULT_TOO_LARGE", false,
        "The result is larger than the server keeps";
    InternalError, "INTERNAL_ERROR", false,
        "The server failed while running the job";
}

impl JobErrorCode {
    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        JobErrorCode::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for JobErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
