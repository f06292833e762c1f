//! Bodies, good and bad, held against what deployers may say.

use super::check_volume;
use super::forms::{Form, check, check_entered};
use crate::config::{Access, Leave};
use crate::error::Kind;

fn deployer(form: Form, body: &str) -> Result<String, u16> {
    with(&Access::default(), form, body)
}

fn with(access: &Access, form: Form, body: &str) -> Result<String, u16> {
    match check(form, body.as_bytes(), access) {
        Ok(checked) => Ok(checked.body),
        Err(e) => Err(match e.kind {
            Kind::Invalid => 400,
            Kind::Status(code) => code,
            other => panic!("{other:?}: {e}"),
        }),
    }
}

fn host(field: &str) -> Result<String, u16> {
    deployer(Form::Create, &format!(r#"{{"Image":"a","HostConfig":{{{field}}}}}"#))
}

#[test]
fn what_clients_send_for_a_plain_container_passes() {
    // `docker run -d -v data:/d -p 80:80 -m 64m nginx`, of a client of 2025, and a few fields of older ones.
    let body = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,
        "AttachStderr":false,"ExposedPorts":{"80/tcp":{}},"Tty":false,"OpenStdin":false,"StdinOnce":false,
        "Env":["A=b"],"Cmd":null,"Image":"nginx","Volumes":{"/x":{}},"WorkingDir":"","Entrypoint":null,"OnBuild":null,
        "Labels":{"a":"1","A":"2"},"Runtime":null,"HostConfig":{"Binds":["data:/d","pi1/other:/o:ro","/anon"],
        "ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":
        {"80/tcp":[{"HostIp":"","HostPort":"80"}]},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},
        "AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[1,2],"CapAdd":["cap_chown"],
        "CapDrop":["ALL"],"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,
        "IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,
        "ReadonlyRootfs":false,"SecurityOpt":["no-new-privileges"],"UTSMode":"","UsernsMode":"","ShmSize":0,
        "Isolation":"","CpuShares":0,"Memory":67108864,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,
        "BlkioWeightDevice":[],"Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemorySwappiness":-1,
        "OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuPercent":0,"IOMaximumIOps":0,"MaskedPaths":null,
        "ReadonlyPaths":null,"Mounts":[{"Type":"tmpfs","Target":"/t"},{"Type":"volume","Source":"data","Target":"/e"}]},
        "NetworkingConfig":{"EndpointsConfig":{"back":{"Aliases":["a"]}}}}"#;
    let checked = check(Form::Create, body.as_bytes(), &Access::default()).unwrap();
    assert_eq!(checked.named.networks, ["back"]);
    assert!(checked.body.contains(r#""Labels":{"a":"1","A":"2"}"#) && !checked.body.contains("Runtime"));
}

#[test]
fn nothing_of_the_host_is_given() {
    for field in [
        r#""Privileged":true"#,
        r#""privileged":true"#,
        r#""PRIVILEGED":true"#,
        r#""Privıleged":true"#, // a letter of another alphabet: not known
        r#""\u0050rivileged":true"#,
        r#""Privileged":"true""#,
        r#""Privileged":1"#,
        r#""Binds":["/:/host"]"#,
        r#""Binds":["/etc"," /:/host"]"#,
        r#""Binds":["../etc:/x"]"#,
        r#""Binds":["pi1//etc:/x"]"#,
        r#""Binds":["pi1/../etc:/x"]"#,
        r#""Binds":["a/b/c:/x"]"#,
        r#""Binds":["~/x:/x"]"#,
        r#""bindſ":["/:/host"]"#,
        r#""Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]"#,
        r#""Mounts":[{"type":"bind","source":"/","Target":"/x"}]"#,
        r#""Mounts":[{"Type":"npipe","Source":"x"}]"#,
        r#""Mounts":[{"Type":"cluster","Source":"x"}]"#,
        r#""Mounts":[{"Source":"/"}]"#,
        r#""Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"nfs"}}}]"#,
        r#""Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/"}}}}]"#,
        r#""NetworkMode":"host""#,
        r#""NetworKMode":"host""#, // KELVIN SIGN, which Go takes for a k
        r#""NetworkMode":"container:x""#,
        r#""PidMode":"host""#,
        r#""PidMode":"container:x""#,
        r#""IpcMode":"host""#,
        r#""IpcMode":"container:x""#,
        r#""UTSMode":"host""#,
        r#""UsernsMode":"host""#,
        r#""CgroupnsMode":"host""#,
        r#""CgroupParent":"/x""#,
        r#""Cgroup":"container:x""#,
        r#""VolumesFrom":["x"]"#,
        r#""VolumeDriver":"nfs""#,
        r#""Devices":[{"PathOnHost":"/dev/sda"}]"#,
        r#""DeviceRequests":[{"Count":-1}]"#,
        r#""DeviceCgroupRules":["b *:* rwm"]"#,
        r#""CapAdd":["SYS_ADMIN"]"#,
        r#""CapAdd":["CAP_SYS_PTRACE"]"#,
        r#""CapAdd":["ALL"]"#,
        r#""capadd":["all"]"#,
        r#""SecurityOpt":["seccomp=unconfined"]"#,
        r#""SecurityOpt":["no-new-privileges:false"]"#,
        r#""MaskedPaths":[]"#,
        r#""ReadonlyPaths":["/proc/x"]"#,
        r#""OomScoreAdj":-1000"#,
        r#""Runtime":"other""#,
        r#""Annotations":{"a":"b"}"#,
        r#""LogConfig":{"Type":"syslog"}"#,
        r#""SomethingNew":true"#,
        r#""":true"#,
    ] {
        assert_eq!(host(field), Err(403), "{field}");
    }
    for field in
        [r#""Privileged":false,"privileged":true"#, r#""Binds":"/:/x""#, r#""Binds":[1]"#, r#""Mounts":{}"#]
    {
        assert_eq!(host(field), Err(400), "{field}");
    }
}

#[test]
fn the_outside_of_a_create_hides_nothing() {
    for (body, code) in [
        (r#"{"Image":"a","Privileged":true}"#, 403), // engines took it there, up to a point
        (r#"{"Image":"a","Binds":["/:/x"]}"#, 403),
        (r#"{"Image":"a","HostConfig":{},"hostconfig":{"Privileged":true}}"#, 400),
        (r#"{"Image":"a","hoſtconfig":{"Privileged":true}}"#, 403),
        (r#"{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}"#, 400),
        (r#"{"Image":"a","\u0048ostConfig":{"Privileged":true}}"#, 403),
        (r#"{"Image":"a","HostConfig":"x"}"#, 400),
        (r#"{"Image":"a","HostConfig":[{"Privileged":true}]}"#, 400),
        (r#"{"Image":"a"}{"HostConfig":{"Privileged":true}}"#, 400),
        (r#"{"Image":"a","Volumes":{"/:/host":{}}}"#, 400),
        (r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"host":{}}}}"#, 403),
        (r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"x":{"NetworkID":"host"}}}}"#, 403),
        ("null", 400),
        ("[]", 400),
        ("", 400),
    ] {
        assert_eq!(deployer(Form::Create, body), Err(code), "{body}");
    }
}

#[test]
fn what_passes_is_written_as_we_understood_it() {
    let body = r#" {"image":"a","hoſtconfig":{"PRIVILEGED":false,"memory":5,"Binds":null,"Later":null}} "#;
    let written = r#"{"Image":"a","HostConfig":{"Privileged":false,"Memory":5}}"#;
    assert_eq!(deployer(Form::Create, body).as_deref(), Ok(written));
}

#[test]
fn leave_opens_what_it_names_and_nothing_else() {
    let leaves = |all: &[Leave]| Access { deployer_allow: all.to_vec(), ..Access::default() };
    let may = |leave, field: &str| {
        let body = format!(r#"{{"HostConfig":{{{field}}}}}"#);
        with(&leaves(&[leave]), Form::Create, &body).is_ok()
    };
    let all = [
        (Leave::Privileged, r#""Privileged":true"#),
        (Leave::HostNetwork, r#""NetworkMode":"host""#),
        (Leave::HostPid, r#""PidMode":"host""#),
        (Leave::HostIpc, r#""IpcMode":"host""#),
        (Leave::HostUts, r#""UTSMode":"host""#),
        (Leave::HostUserns, r#""UsernsMode":"host""#),
        (Leave::HostCgroup, r#""CgroupnsMode":"host""#),
        (Leave::Neighbours, r#""VolumesFrom":["x"],"NetworkMode":"container:x","PidMode":"container:x""#),
        (Leave::Devices, r#""DeviceRequests":[{"Count":-1}]"#),
        (Leave::Capabilities, r#""CapAdd":["NET_ADMIN"]"#),
        (Leave::SecurityOptions, r#""SecurityOpt":["seccomp=unconfined"]"#),
        (Leave::Runtimes, r#""Runtime":"other""#),
        (Leave::LogDrivers, r#""LogConfig":{"Type":"syslog"}"#),
        (Leave::VolumeDrivers, r#""VolumeDriver":"nfs""#),
    ];
    for (leave, _) in all {
        for (needed, field) in all {
            assert_eq!(may(leave, field), leave == needed, "{leave:?} {field}");
        }
    }
}

#[test]
fn directories_are_given_without_what_is_below_them() {
    let access = Access { deployer_binds: vec!["/srv/data".into()], ..Access::default() };
    for (source, may) in [
        ("/srv/data", true),
        ("/srv/data/", true),
        ("/srv//data", true),
        ("/srv/data/a/b", false), // `a` may be a link to anywhere
        ("/srv//data/a", false),
        ("/srv/database", false),
        ("/srv", false),
        ("/", false),
        ("/srv/data/../..", false),
        ("srv/data", true), // the volume `data` on the node `srv`
        ("/proc/self/root/srv/data", false),
    ] {
        let bind = format!(r#"{{"HostConfig":{{"Binds":["{source}:/x"]}}}}"#);
        assert_eq!(with(&access, Form::Create, &bind).is_ok(), may, "{source}");
    }
    let mount = |source: &str| {
        format!(r#"{{"HostConfig":{{"Mounts":[{{"Type":"bind","Source":"{source}","Target":"/x"}}]}}}}"#)
    };
    assert!(with(&access, Form::Create, &mount("/srv/data")).is_ok());
    assert!(with(&access, Form::Create, &mount("/srv/data/x")).is_err());
}

#[test]
fn nobody_says_that_a_network_is_a_copy_of_another() {
    let create = |labels: &str| {
        let body = format!(r#"{{"Name":"evil","Labels":{labels}}}"#);
        with(&Access::default(), Form::Network, &body).map(|_| ())
    };
    assert_eq!(create(r#"{"a":"b","com.docker.swarm.network.driver":"auto"}"#), Ok(()));
    assert_eq!(create("{}"), Ok(()));
    let forged = r#"{"a":"b","com.docker.swarm.network.origin":"abcdef"}"#;
    assert_eq!(create(forged), Err(403));
}

#[test]
fn volumes_that_are_there_are_looked_at() {
    let body = r#"{"HostConfig":{"Binds":["data:/a","pi1/more:/b","/anon"],
        "Mounts":[{"Type":"volume","Source":"third","Target":"/c"},{"Type":"volume","Target":"/d"}]}}"#;
    let named = check(Form::Create, body.as_bytes(), &Access::default()).unwrap().named;
    assert_eq!(named.volumes, ["data", "pi1/more", "third"]);
    let named = check_entered(body.as_bytes(), &Access::default()).unwrap();
    assert_eq!(named.volumes, ["data", "pi1/more", "third"]);
    let made = r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"x","Target":"/c","VolumeOptions":
        {"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/srv"}}}}]}}"#;
    assert!(check_entered(made.as_bytes(), &Access::default()).is_err());
    let may = |driver: &str, options: &[(&str, &str)], access: &Access| {
        let options: Vec<_> = options.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        check_volume("data", driver, options.iter().map(|(k, v)| (k, v)), access).is_ok()
    };
    let bind: &[_] = &[("type", "none"), ("o", "bind"), ("device", "/srv/x")];
    let none = Access::default();
    assert!(may("local", &[], &none) && may("local", &[("type", "tmpfs"), ("device", "tmpfs")], &none));
    assert!(!may("local", bind, &none) && !may("other", &[], &none));
    let leave = Access { deployer_allow: vec![Leave::VolumeDrivers], ..Access::default() };
    assert!(may("local", bind, &leave) && may("other", &[], &leave));
}

#[test]
fn other_bodies_give_nothing_of_the_host_either() {
    for (form, body, code) in [
        (Form::Exec, r#"{"Cmd":["sh"],"Privileged":true}"#, 403),
        (Form::Exec, r#"{"Cmd":["sh"],"privileged":true}"#, 403),
        (Form::Update, r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#, 403),
        (Form::Update, r#"{"Privileged":true}"#, 403),
        (Form::Network, r#"{"Name":"a","Driver":"macvlan","Options":{"parent":"eth0"}}"#, 403),
        (Form::Network, r#"{"Name":"a","Options":{"com.docker.network.bridge.name":"docker0"}}"#, 403),
        (Form::Network, r#"{"Name":"a","ConfigFrom":{"Network":"x"}}"#, 403),
        (Form::Connect, r#"{"Container":"c","EndpointConfig":{"NetworkID":"host"}}"#, 403),
        (Form::Volume, r#"{"Name":"a","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#, 403),
        (Form::Volume, r#"{"Name":"a","DriverOpts":{"type":"tmpfs","o":"bind","device":"tmpfs"}}"#, 403),
        (
            Form::Volume,
            r#"{"Name":"a","driveropts":{"type":"tmpfs","o":"size=1,rbind","device":"tmpfs"}}"#,
            403,
        ),
        (Form::Volume, r#"{"Name":"a","DriverOpts":{"type":"tmpfs","device":"/dev/sda"}}"#, 403),
        (Form::Volume, r#"{"Name":"a","Driver":"other"}"#, 403),
        (Form::Nothing, r#"{"HostConfig":{"Privileged":true}}"#, 400), // start, as before API 1.24
        (Form::Nothing, r#"{"Privileged":true}"#, 400),
        (Form::Commit, r#"{"HostConfig":{}}"#, 403),
        (Form::Credentials, r#"{"username":"a","other":"b"}"#, 403),
    ] {
        assert_eq!(deployer(form, body), Err(code), "{form:?} {body}");
    }
    for (form, body) in [
        (Form::Nothing, ""),
        (Form::Nothing, " {} "),
        (Form::Nothing, "null"),
        (Form::Volume, ""),
        (Form::Volume, r#"{"Name":"a","DriverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=1m,uid=1"}}"#),
        (
            Form::Network,
            r#"{"Name":"a","CheckDuplicate":true,"Driver":"bridge","IPAM":{"Driver":"default","Config":[]}}"#,
        ),
        (Form::Exec, r#"{"Cmd":["sh"],"Privileged":false,"AttachStdin":true}"#),
        (Form::ExecStart, ""),
        (Form::Credentials, r#"{"username":"a","password":"b","serveraddress":"c"}"#),
    ] {
        assert!(deployer(form, body).is_ok(), "{form:?} {body}");
    }
}

#[test]
fn errors_name_no_values() {
    let body = r#"{"username":"a","password":{"CANARY":1},"password":"CANARY"}"#;
    for body in [body, r#"{"SecurityOpt":["CANARY"]}"#, "CANARY", r#"{"password":"CANARY"#] {
        for form in [Form::Credentials, Form::Create, Form::Exec] {
            if let Err(e) = check(form, body.as_bytes(), &Access::default()) {
                assert!(!e.to_string().contains("CANARY"), "{e}");
            }
        }
    }
}

#[test]
fn containers_that_have_something_of_the_host_are_not_entered() {
    let plain = r#""Privileged":false,"NetworkMode":"bridge","IpcMode":"private","CgroupnsMode":"host","PidMode":"",
        "Runtime":"runc","SecurityOpt":null,"LogConfig":{"Type":"journald"},"Binds":["data:/d"],"OomScoreAdj":0,
        "MaskedPaths":["/proc/kcore"],"ReadonlyPaths":["/proc/sys"],"Devices":[],"NewField":"","Other":null"#;
    let may = |more: &str| {
        let text = format!(r#"{{"Id":"x","HostConfig":{{{plain}{more}}},"Config":{{}}}}"#);
        check_entered(text.as_bytes(), &Access::default()).is_ok()
    };
    assert!(may(""));
    for more in [
        r#","Mounts":[{"Type":"bind","Source":"/"}]"#,
        r#","VolumesFrom":["x"]"#,
        r#","CapAdd":["SYS_ADMIN"]"#,
        r#","NewPower":true"#,
    ] {
        assert!(!may(more), "{more}");
    }
    for (what, other) in [
        (r#""Privileged":false"#, r#""Privileged":true"#),
        (r#""NetworkMode":"bridge""#, r#""NetworkMode":"host""#),
        (r#""PidMode":"""#, r#""PidMode":"host""#),
        (r#"["data:/d"]"#, r#"["/var/run/docker.sock:/s"]"#),
        (r#"["/proc/kcore"]"#, "[]"),
        (r#""SecurityOpt":null"#, r#""SecurityOpt":["seccomp=unconfined"]"#),
    ] {
        let text = format!(r#"{{"HostConfig":{{{}}}}}"#, plain.replace(what, other));
        assert!(check_entered(text.as_bytes(), &Access::default()).is_err(), "{other}");
    }
    assert!(check_entered(b"{}", &Access::default()).is_err());
}
