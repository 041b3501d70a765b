//! An S3-compatible store in this process, or the one that the environment names.

use std::sync::OnceLock;

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

/// Names a real store: `HEI_TEST_S3=s3://bucket`, with the variables `AWS_…` that its clients need.
const REAL: &str = "HEI_TEST_S3";
const KEY: &str = "test-key";
const SECRET: &str = "planted-s3-secret";

/// What a process needs to find the store, and a place in it of its own.
pub(crate) struct Bucket {
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) place: String,
}

pub(crate) fn bucket(prefix: &str) -> Bucket {
    if let Ok(place) = std::env::var(REAL) {
        let place = format!("{}/{}-{prefix}", place.trim_end_matches('/'), std::process::id());
        return Bucket { environment: Vec::new(), place };
    }
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    let endpoint = ENDPOINT.get_or_init(start).clone();
    let environment = vec![
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    Bucket { environment, place: format!("s3://hei/{prefix}") }
}

/// Serves a folder as S3, with signatures checked, as long as this process lives.
fn start() -> String {
    let root = tempfile::Builder::new().prefix("hei-s3-").tempdir().unwrap().keep();
    std::fs::create_dir(root.join("hei")).unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(&root).unwrap());
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = builder.build();
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A client that was killed breaks it off.
                    connection.serve_connection(TokioIo::new(socket), service).await.ok();
                });
            }
        });
    });
    format!("http://{}", address.recv().unwrap())
}
