//! The bill of materials of the program: CycloneDX 1.5, from `cargo metadata` and `Cargo.lock`.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The package that is described.
const PROGRAM: &str = "lockstep";
/// The platform whose crates are listed.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The bill of materials of `lockstep` with these cargo features, as its repository in `root` builds it.
/// Equal lock files give equal bills.
///
/// # Errors
/// Cargo fails, or prints what this cannot read.
pub fn of(root: &Path, features: &str) -> Result<Value, String> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM])
        .args(["--features", features]);
    let output = cargo.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let lock =
        std::fs::read_to_string(root.join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let lock = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
    bill(&metadata, &checksums(&lock)).ok_or_else(|| "cargo metadata has another form".to_owned())
}

/// The SHA-256 of each crate's archive, by name and version.
fn checksums(lock: &toml::Table) -> BTreeMap<(String, String), String> {
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let of = |package: &toml::Value| {
        let field = |name| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    packages.filter_map(of).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str()
}

fn purl(package: &Value) -> Option<String> {
    Some(format!("pkg:cargo/{}@{}", text(package, "name")?, text(package, "version")?))
}

fn bill(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Value> {
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((text(package, "id")?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .filter_map(|node| Some((text(node, "id")?, node)))
        .collect();
    let (program, _) =
        packages.iter().find(|(_, package)| package["name"] == PROGRAM && package["source"].is_null())?;
    // Crates that are linked, and those that are run to build them: not those of tests.
    let needs = |id: &str| -> BTreeSet<&str> {
        let deps = nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten();
        let is_built = |dep: &&Value| {
            dep["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
        };
        deps.filter(is_built).filter_map(|dep| text(dep, "pkg")).collect()
    };
    let (mut found, mut left) = (BTreeSet::new(), vec![*program]);
    while let Some(id) = left.pop() {
        if found.insert(id) {
            left.extend(needs(id));
        }
    }
    let described = |id: &&str| component(packages.get(*id)?, checksums);
    let mut components: Vec<Value> = found.iter().filter(|id| *id != program).filter_map(described).collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let reference = |id: &str| packages.get(id).and_then(|package| purl(package));
    let graph = |id: &&str| {
        let on: BTreeSet<String> = needs(id).into_iter().filter_map(reference).collect();
        Some(json!({ "ref": reference(id)?, "dependsOn": on }))
    };
    let mut dependencies: Vec<Value> = found.iter().filter_map(graph).collect();
    dependencies.sort_by_key(|row| row["ref"].to_string());
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(packages.get(program)?, checksums)? },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Value> {
    let (name, version) = (text(package, "name")?, text(package, "version")?);
    let kind = if name == PROGRAM { "application" } else { "library" };
    let mut component = json!({
        "type": kind, "bom-ref": purl(package)?, "name": name, "version": version, "purl": purl(package)?,
    });
    if let Some(licence) = text(package, "license") {
        // `/` is the `OR` of old crates.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(repository) = text(package, "repository") {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn names(bill: &Value) -> BTreeSet<String> {
        let components = bill["components"].as_array().expect("components");
        components.iter().map(|component| component["name"].as_str().expect("a name").to_owned()).collect()
    }

    #[test]
    fn a_bill_has_each_crate_of_the_program_once_with_its_hash_and_nothing_else() {
        let bill = of(root(), "").expect("a bill");
        let components = bill["components"].as_array().expect("components");
        let mut references = BTreeSet::new();
        for component in components {
            let reference = component["bom-ref"].as_str().expect("a reference");
            assert!(references.insert(reference), "{reference} stands twice");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
            let is_ours = ["lockstep", "soupbintcp", "moldudp64", "ouch50"]
                .iter()
                .any(|own| component["name"].as_str().is_some_and(|name| name.starts_with(own)));
            let hash = component["hashes"][0]["content"].as_str().unwrap_or_default();
            assert_eq!(hash.len(), if is_ours { 0 } else { 64 }, "{component}");
        }
        let own = bill["metadata"]["component"]["bom-ref"].as_str().expect("the program");
        assert!(references.insert(own));
        let rows = bill["dependencies"].as_array().expect("dependencies");
        assert_eq!(rows.len(), references.len(), "each has its row");
        for row in rows {
            let on = row["dependsOn"].as_array().expect("a list").iter().filter_map(Value::as_str);
            assert!(on.chain(row["ref"].as_str()).all(|reference| references.contains(reference)), "{row}");
        }
        let names = names(&bill);
        for (name, is_in) in [
            ("bytemuck", true),
            ("lockstep-wire", true),
            ("proptest", false),
            ("rustls", false),
            ("tools", false),
        ] {
            assert_eq!(names.contains(name), is_in, "{name}");
        }
        let path = root().canonicalize().expect("the repository").display().to_string();
        assert!(!bill.to_string().contains(&path), "no path of this machine");
    }

    #[test]
    fn a_feature_brings_its_crates() {
        let (without, with) = (of(root(), "").expect("a bill"), of(root(), "tls").expect("a bill"));
        assert!(names(&without).is_subset(&names(&with)) && names(&with).contains("rustls"));
    }
}
