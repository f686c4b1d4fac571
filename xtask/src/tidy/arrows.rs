//! Which crate may depend on which.

use serde_json::Value;

/// A package of the workspace and the packages it depends on.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<String>,
}

/// Crates that bring an executor; the logic that kernel and agent share knows no time and no IO.
const ASYNC: &[&str] =
    &["async-std", "async-trait", "futures", "futures-util", "smol", "tokio", "tokio-util"];

/// The packages of the workspace, with dependencies of every kind.
pub(super) fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let is_member = |package: &&Value| package["source"].is_null();
    let package = |value: &Value| Package {
        name: name(value),
        dependencies: list(&value["dependencies"]).iter().map(name).collect(),
    };
    list(&metadata["packages"]).iter().filter(is_member).map(package).collect()
}

/// One line for each dependency that points the wrong way.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
    let mut findings = Vec::new();
    for Package { name, dependencies } in packages {
        for dependency in dependencies {
            let reason = match (name.as_str(), dependency.as_str()) {
                (_, "xtask") => "nothing depends on xtask",
                ("svclb-common", other) if is_member(other) => {
                    "it depends on no other crate of the workspace"
                }
                ("svclb-common", other) if ASYNC.contains(&other) => "it has no async",
                ("svclb-ebpf", other) if is_member(other) && other != "svclb-common" => {
                    "of the workspace it depends on svclb-common only"
                }
                ("svclb-bench-ebpf", other) if is_member(other) => {
                    "a yardstick must not change with what it measures"
                }
                ("svclb" | "svclb-tests", "svclb-bench") => "measurements depend on what they measure",
                ("svclb", "svclb-tests") => "tests depend on the agent, not the agent on tests",
                _ => continue,
            };
            findings.push(format!("{name}: remove the dependency on {dependency}: {reason}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package { name: name.into(), dependencies: dependencies.iter().map(|&name| name.into()).collect() }
    }

    #[test]
    fn the_arrows_as_drawn() {
        let packages = [
            package("svclb-common", &["aya", "bytemuck"]),
            package("svclb-ebpf", &["aya-ebpf", "svclb-common"]),
            package("svclb", &["svclb-common", "tokio"]),
            package("svclb-tests", &["svclb", "svclb-common"]),
            package("svclb-bench", &["svclb-tests", "svclb"]),
            package("svclb-bench-ebpf", &["aya-ebpf"]),
            package("xtask", &["clap"]),
        ];
        assert!(check(&packages).is_empty());
    }

    #[test]
    fn arrows_that_point_back_are_found() {
        for (name, dependency) in [
            ("svclb", "xtask"),
            ("svclb-common", "svclb"),
            ("svclb-common", "tokio"),
            ("svclb-ebpf", "svclb"),
            ("svclb", "svclb-tests"),
            ("svclb-tests", "svclb-bench"),
            ("svclb-bench-ebpf", "svclb-common"),
        ] {
            let packages = [package(name, &[dependency]), package(dependency, &[])];
            assert_eq!(check(&packages).len(), 1, "{name} on {dependency}");
        }
    }

    #[test]
    fn packages_are_those_without_a_source() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "svclb", "source": null, "dependencies": [{ "name": "aya" }] },
            { "name": "aya", "source": "registry", "dependencies": [] },
        ]});
        let packages = packages(&metadata);
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].dependencies, ["aya"]);
    }
}
