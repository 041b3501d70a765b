-- Schema 1, with one finished and one queued job.
pragma auto_vacuum = incremental;
pragma journal_mode = wal;
begin;
create table meta(name text primary key, value text not null) without rowid;
create table jobs(
    id blob primary key, tenant text not null, state integer not null,
    attempts integer not null default 0, lease_until integer, expires_at integer not null,
    record blob not null, seal blob not null);
create index jobs_by_expiry on jobs(expires_at);
create table payloads(id blob not null, kind integer not null, octets blob not null, primary key(id, kind));
create table idempotency(
    tenant text not null, key text not null, fingerprint blob not null, job blob not null,
    ends_at integer not null, seal blob not null, primary key(tenant, key));
create index idempotency_by_end on idempotency(ends_at);
create table tombstones(id blob primary key, tenant text not null, ends_at integer not null) without rowid;
create index tombstones_by_end on tombstones(ends_at);
insert into jobs(id, tenant, state, attempts, expires_at, record, seal) values (
    x'0123456789abcdef0123456789abcdef', 'a', 2, 1, 4600000,
    cast('{"tenant":"a","model_id":"m","version":"1.0.0","evaluation_key_id":null,"params_id":"00","batch_size":1,"encoding":"hex","created_at":1000000,"expires_at":4600000,"max_result_bytes":200000,"state":2,"started_at":1000001,"finished_at":1000002,"failure":null,"input":null,"result":{"size":10,"sha256":"c6ab932a934460bd21fde8c5da450ed8188bcbd6b8e6c41e0551e56e8d417b8b"}}' as blob),
    x'644025ba308487406455941536748984ea80f571452574c25109511ef1d191fa');
insert into payloads values (x'0123456789abcdef0123456789abcdef', 1, cast('the result' as blob));
insert into jobs(id, tenant, state, attempts, expires_at, record, seal) values (
    x'fedcba9876543210fedcba9876543210', 'a', 0, 0, 4600000,
    cast('{"tenant":"a","model_id":"m","version":"1.0.0","evaluation_key_id":null,"params_id":"00","batch_size":1,"encoding":"hex","created_at":1000000,"expires_at":4600000,"max_result_bytes":200000,"state":0,"started_at":null,"finished_at":null,"failure":null,"input":{"size":9,"sha256":"65d1a0fe71d083171eb4a5662f92b5a29e061bc5f563411a6dc38dce2f14141c"},"result":null}' as blob),
    x'a94991e9ffa44798a9ca7c402dfba8f96e86ccc8a741592de388df679f520bb7');
insert into payloads values (x'fedcba9876543210fedcba9876543210', 0, cast('the input' as blob));
commit;
pragma application_id = 1751476529;
pragma user_version = 1;
