//! The ONNX Runtime packages that [`ensure`](super::ensure) may fetch, and their digests.
//!
//! A package is a Python wheel. Only the C library in it is used, so the wheel of one CPython version works on
//! every machine of a platform, with every Python that fetches it.

use crate::error::Error;

/// The ONNX Runtime that is fetched when none is found.
pub const VERSION: &str = "1.31.1";

/// CPython version whose wheels are pinned below.
const PYTHON: (&str, &str) = ("3.12", "cp312");

/// One pinned wheel.
pub(super) struct Package {
    /// Operating system and processor, as in `std::env::consts`.
    platform: &'static str,
    /// The wheel's platform tag.
    tag: &'static str,
    /// SHA-256 of the wheel, in hexadecimal.
    pub sha256: &'static str,
}

const PACKAGES: [Package; 5] = [
    Package {
        platform: "linux-x86_64",
        tag: "manylinux_2_28_x86_64",
        sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
    },
    Package {
        platform: "linux-aarch64",
        tag: "manylinux_2_28_aarch64",
        sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
    },
    Package {
        platform: "macos-aarch64",
        tag: "macosx_14_0_arm64",
        sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
    },
    Package {
        platform: "windows-x86_64",
        tag: "win_amd64",
        sha256: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
    },
    Package {
        platform: "windows-aarch64",
        tag: "win_arm64",
        sha256: "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1",
    },
];

impl Package {
    /// The package for the machine this was compiled for.
    ///
    /// # Errors
    /// [`Error::NoPackage`].
    pub fn for_this_machine() -> Result<&'static Self, Error> {
        // The Linux wheels are linked against the GNU C library.
        let libc = if cfg!(target_env = "musl") { "-musl" } else { "" };
        Self::for_platform(&format!("{}-{}{libc}", std::env::consts::OS, std::env::consts::ARCH))
    }

    fn for_platform(platform: &str) -> Result<&'static Self, Error> {
        PACKAGES.iter().find(|package| package.platform == platform).ok_or_else(|| {
            Error::NoPackage { platform: platform.into(), install: install_command() }
        })
    }

    /// Arguments of `python3` that fetch the wheel into `folder`.
    pub fn download_arguments(&self, folder: &str) -> Vec<String> {
        let (version, abi) = PYTHON;
        let words = format!(
            "-m pip download --quiet --disable-pip-version-check --no-deps \
             --only-binary=:all: --implementation cp --python-version {version} --abi {abi} \
             --platform {} onnxruntime=={VERSION} --dest",
            self.tag
        );
        words.split(' ').map(String::from).chain([folder.into()]).collect()
    }
}

#[cfg(test)]
impl Package {
    /// A package that exists for no machine.
    pub fn for_test(sha256: String) -> Self {
        Self { platform: "test", tag: "test", sha256: sha256.leak() }
    }
}

/// The command that installs an ONNX Runtime where [`locate`](super::locate) finds it.
pub(super) fn install_command() -> String {
    format!("{} -m pip install onnxruntime=={VERSION}", super::python::PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_distinct_and_complete() {
        for (index, package) in PACKAGES.iter().enumerate() {
            assert_eq!(package.sha256.len(), 64, "{}", package.platform);
            assert!(package.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(PACKAGES[..index].iter().all(|other| other.sha256 != package.sha256));
        }
    }

    #[test]
    fn an_unknown_machine_is_an_error_with_instructions() {
        let Err(error) = Package::for_platform("plan9-mips") else { panic!("it has a package") };
        let message = error.to_string();
        for word in ["plan9-mips", "pip install onnxruntime", "ORT_DYLIB_PATH"] {
            assert!(message.contains(word), "{message}");
        }
    }
}
