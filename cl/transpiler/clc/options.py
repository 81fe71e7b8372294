"""The options of etcd and flannel, by version: what `etcd` and `flannel` may hold and how it is printed.

Words are option names in the order of printing; `:i` marks a number, `:b` a boolean, all others are texts.
Source: ct v0.9.4, config/types/etcd.go and flannel.go.
"""

from __future__ import annotations

from cl.transpiler.schema import Field, Struct, Type

_KINDS: dict[str, Type] = {
    "": Type("str", optional=True),
    "i": Type("int", optional=True),
    "b": Type("bool", optional=True),
}


def option_table(words: str) -> Struct:
    """The schema of a set of options; it decodes into a dict of those that the config has."""
    fields = {}
    for word in words.split():
        name, _, kind = word.partition(":")
        fields[name] = Field(name, name, _KINDS[kind])
    return Struct(dict, fields)


def _with(table: Struct, after: str, word: str) -> Struct:
    """`table` with one more option behind the option `after`."""
    fields = {}
    for name, field in table.fields.items():
        fields[name] = field
        if name == after:
            fields |= option_table(word).fields
    return Struct(dict, fields)


_ETCD2 = option_table(
    """
    advertise_client_urls ca_file cert_file client_cert_auth:b cors data_dir debug:b discovery
    discovery_fallback discovery_srv discovery_proxy election_timeout:i enable_pprof:b force_new_cluster:b
    heartbeat_interval:i initial_advertise_peer_urls initial_cluster initial_cluster_state initial_cluster_token
    key_file listen_client_urls listen_peer_urls log_package_levels max_snapshots:i max_wals:i name peer_ca_file
    peer_cert_file peer_key_file peer_client_cert_auth:b peer_trusted_ca_file proxy proxy_dial_timeout:i
    proxy_failure_wait:i proxy_read_timeout:i proxy_refresh_interval:i proxy_write_timeout:i snapshot_count:i
    strict_reconfig_check:b trusted_ca_file wal_dir
    """
)
_ETCD3_0 = option_table(
    """
    name data_dir wal_dir snapshot_count:i heartbeat_interval:i election_timeout:i enable_pprof:b
    listen_peer_urls listen_client_urls max_snapshots:i max_wals:i cors initial_advertise_peer_urls
    initial_cluster initial_cluster_state initial_cluster_token advertise_client_urls discovery discovery_srv
    discovery_fallback discovery_proxy strict_reconfig_check:b auto_compaction_retention:i proxy
    proxy_failure_wait:i proxy_refresh_interval:i proxy_dial_timeout:i proxy_write_timeout:i
    proxy_read_timeout:i ca_file cert_file key_file client_cert_auth:b trusted_ca_file auto_tls:b peer_ca_file
    peer_cert_file peer_key_file peer_client_cert_auth:b peer_trusted_ca_file peer_auto_tls:b debug:b
    log_package_levels force_new_cluster:b
    """
)
_ETCD3_1 = _with(_with(_ETCD3_0, "force_new_cluster", "metrics"), "metrics", "log_output")
_ETCD3_2 = _with(_with(_ETCD3_1, "enable_pprof", "enable_v2:b"), "peer_auto_tls", "auth_token")
_ETCD3_3 = option_table(
    """
    name data_dir wal_dir snapshot_count:i heartbeat_interval:i election_timeout:i enable_pprof:b enable_v2:b
    listen_peer_urls listen_client_urls max_snapshots:i max_wals:i cors quota_backend_bytes:i max_txn_ops:i
    max_request_bytes:i grpc_keepalive_min_time grpc_keepalive_interval grpc_keepalive_timeout
    initial_advertise_peer_urls initial_cluster initial_cluster_state initial_cluster_token
    advertise_client_urls discovery discovery_srv discovery_fallback discovery_proxy strict_reconfig_check:b
    auto_compaction_retention auto_compaction_mode proxy proxy_failure_wait:i proxy_refresh_interval:i
    proxy_dial_timeout:i proxy_write_timeout:i proxy_read_timeout:i ca_file cert_file key_file
    client_cert_auth:b client_crl_file trusted_ca_file auto_tls:b peer_ca_file peer_cert_file peer_key_file
    peer_client_cert_auth:b peer_crl_file peer_trusted_ca_file peer_auto_tls:b peer_cert_allowed_cn auth_token
    debug:b log_package_levels force_new_cluster:b metrics log_output listen_metrics_urls
    experimental_initial_corrupt_check:b experimental_corrupt_check_time experimental_enable_v2v3
    """
)
_ETCD3_4 = option_table(
    """
    name data_dir wal_dir snapshot_count:i heartbeat_interval:i election_timeout:i
    initial_election_tick_advance:b listen_peer_urls listen_client_urls max_snapshots:i max_wals:i
    quota_backend_bytes:i backend_batch_interval backend_batch_limit:i max_txn_ops:i max_request_bytes:i
    grpc_keepalive_min_time grpc_keepalive_interval grpc_keepalive_timeout initial_advertise_peer_urls
    initial_cluster initial_cluster_state initial_cluster_token advertise_client_urls discovery
    discovery_fallback discovery_proxy discovery_srv discovery_srv_name strict_reconfig_check:b pre_vote:b
    auto_compaction_retention auto_compaction_mode enable_v2:b cert_file key_file client_cert_auth:b
    client_crl_file client_cert_allowed_hostname trusted_ca_file auto_tls:b peer_cert_file peer_key_file
    peer_client_cert_auth:b peer_trusted_ca_file peer_cert_allowed_cn peer_cert_allowed_hostname peer_auto_tls:b
    peer_crl_file cipher_suites cors host_whitelist auth_token bcrypt_cost:i auth_token_ttl:i enable_pprof:b
    metrics listen_metrics_urls logger log_outputs log_level proxy proxy_failure_wait:i proxy_refresh_interval:i
    proxy_dial_timeout:i proxy_write_timeout:i proxy_read_timeout:i experimental_initial_corrupt_check:b
    experimental_corrupt_check_time experimental_enable_v2v3 experimental_backend_bbolt_freelist_type
    experimental_enable_lease_checkpoint:b experimental_compaction_batch_limit:i
    experimental_watch_progress_notify_interval experimental_warning_apply_duration force_new_cluster:b debug:b
    log_package_levels
    """
)
_ETCD3_5 = option_table(
    """
    name data_dir wal_dir snapshot_count:i heartbeat_interval:i election_timeout:i
    initial_election_tick_advance:b listen_peer_urls listen_client_urls max_snapshots:i max_wals:i
    quota_backend_bytes:i backend_bbolt_freelist_type backend_batch_interval backend_batch_limit:i max_txn_ops:i
    max_request_bytes:i grpc_keepalive_min_time grpc_keepalive_interval grpc_keepalive_timeout
    socket_reuse_port:b socket_reuse_address:b initial_advertise_peer_urls initial_cluster initial_cluster_state
    initial_cluster_token advertise_client_urls discovery discovery_fallback discovery_proxy discovery_srv
    discovery_srv_name strict_reconfig_check:b pre_vote:b auto_compaction_retention auto_compaction_mode
    enable_v2:b v2_deprecation cert_file key_file client_cert_auth:b client_crl_file
    client_cert_allowed_hostname trusted_ca_file auto_tls:b peer_cert_file peer_key_file peer_client_cert_auth:b
    peer_trusted_ca_file peer_cert_allowed_cn peer_cert_allowed_hostname peer_auto_tls:b
    self_signed_cert_validity:i peer_crl_file cipher_suites cors host_whitelist auth_token bcrypt_cost:i
    auth_token_ttl:i enable_pprof:b metrics listen_metrics_urls logger log_outputs log_level
    enable_log_rotation:b log_rotation_config_json experimental_enable_distributed_tracing:b
    experimental_distributed_tracing_address experimental_distributed_tracing_service_name
    experimental_distributed_tracing_instance_id proxy proxy_failure_wait:i proxy_refresh_interval:i
    proxy_dial_timeout:i proxy_write_timeout:i proxy_read_timeout:i experimental_initial_corrupt_check:b
    experimental_corrupt_check_time experimental_enable_v2v3 experimental_enable_lease_checkpoint:b
    experimental_compaction_batch_limit:i experimental_watch_progress_notify_interval
    experimental_warning_apply_duration experimental_txn_mode_write_with_shared_buffer:b force_new_cluster:b
    unsafe_no_fsync:b
    """
)
_FLANNEL0_5 = option_table(
    """
    etcd_endpoints etcd_cafile etcd_certfile etcd_keyfile etcd_prefix ip_masq subnet_file interface public_ip
    """
)
_FLANNEL0_6 = Struct(dict, option_table("etcd_username etcd_password").fields | _FLANNEL0_5.fields)
_FLANNEL0_7 = Struct(dict, _FLANNEL0_6.fields | option_table("kube_subnet_mgr:b").fields)

_NONE = option_table("")
_ETCD = {(3, 0): _ETCD3_0, (3, 1): _ETCD3_1, (3, 2): _ETCD3_2, (3, 3): _ETCD3_3, (3, 4): _ETCD3_4}


def etcd_options(major: int, minor: int) -> Struct:
    """The options of etcd `major`.`minor`; none for a version that ct doesn't know."""
    if (major, minor) in _ETCD:
        return _ETCD[major, minor]
    if major == 3 and minor >= 5:
        return _ETCD3_5
    return _ETCD2 if major == 2 and minor >= 3 else _NONE


def flannel_options(major: int, minor: int) -> Struct:
    """The options of flannel `major`.`minor`; none for a version that ct doesn't know."""
    if major == 0 and minor >= 5:
        return _FLANNEL0_5 if minor == 5 else _FLANNEL0_6 if minor == 6 else _FLANNEL0_7
    return _NONE
