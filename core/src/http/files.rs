//! Files that the build put into the image.

use super::{Content, IntoResponse, Request, Response, Status};

/// The files of a folder, by their paths.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    files: &'static [File],
}

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path in the folder: names with slashes between them.
    pub path: &'static str,
    /// What is in it.
    pub content: Content,
}

impl Files {
    /// None.
    pub const NONE: Self = Self::new(&[]);

    /// Those of `files`, which are in the order of their paths' bytes.
    pub const fn new(files: &'static [File]) -> Self {
        Self { files }
    }

    /// All of them, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &'static File> {
        self.files.iter()
    }

    /// The file at `path`, which does not begin with a slash.
    pub fn find(&self, path: &str) -> Option<&'static Content> {
        let place = self.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        self.files.get(place).map(|file| &file.content)
    }

    /// The file that stands for the folder at `path`: its `index.html`.
    fn index(&self, path: &str) -> Option<&'static Content> {
        let mut name = heapless::String::<PATH>::new();
        name.push_str(path).ok()?;
        if !path.is_empty() && !path.ends_with('/') {
            name.push('/').ok()?;
        }
        name.push_str("index.html").ok()?;
        self.find(&name)
    }
}

/// A handler for the files of the manifest's key `files`: what the last part of the route's
/// pattern, such as `/{path...}`, stands for is the file's path; a folder is its `index.html`.
/// Clients ask whether a file is still the same each time that they use it.
pub async fn files(request: Request) -> Response {
    let mut room = [0; PATH];
    let Some(path) = request.rest().and_then(|rest| super::decode(rest, false, &mut room)) else {
        return Response::plain(Status::NOT_FOUND);
    };
    let files = request.files();
    let is_folder = path.is_empty() || path.ends_with('/');
    let found = if is_folder { files.index(path) } else { files.find(path) };
    let moved = found.is_none() && !is_folder && files.index(path).is_some();
    match found {
        Some(content) => content.respond(&request, Some("no-cache")).await,
        // What a page says of others is relative to the slash.
        None if moved => {
            let (path, query) = (request.path(), request.head().query());
            let (mark, query) = query.map_or(("", ""), |query| ("?", query));
            let response = Response::plain(Status::PERMANENT_REDIRECT);
            let location = [path, "/", mark, query];
            response.header("Location", location).into_response(request.pool())
        }
        None => Response::plain(Status::NOT_FOUND),
    }
}

/// The longest path of a file.
const PATH: usize = 512;
