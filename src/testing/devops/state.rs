use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::image::Image;

/// A provider, and the images that the service may use.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    name: String,
    /// `None` allows every image.
    filter: Option<Vec<String>>,
    /// Images that the provider no longer has, even if the filter allows them.
    removed: Vec<String>,
}

impl Provider {
    pub(super) fn new(name: &str, filter: Option<&[&str]>) -> Self {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Self {
            name: name.to_owned(),
            filter: filter.map(owned),
            removed: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn offers(&self, id: &str) -> bool {
        let has = |ids: &[String]| ids.iter().any(|known| known == id);
        self.filter.as_deref().is_none_or(has) && !has(&self.removed)
    }
}

/// The stored images, providers and templates.
#[derive(Debug)]
pub(super) struct State {
    /// In order of creation.
    images: Vec<Image>,
    providers: Vec<Provider>,
    templates: Vec<String>,
    /// Pairs of an image and an environment that uses it.
    uses: Vec<(String, String)>,
}

impl State {
    pub(super) fn new(providers: Vec<Provider>, templates: Vec<String>) -> Self {
        Self {
            images: Vec::new(),
            providers,
            templates,
            uses: Vec::new(),
        }
    }

    pub(super) fn images(&self) -> &[Image] {
        &self.images
    }

    pub(super) fn templates(&self) -> &[String] {
        &self.templates
    }

    pub(super) fn providers(&self) -> Vec<&str> {
        self.providers.iter().map(Provider::name).collect()
    }

    /// Adds an image without checks, in place of one with the same id.
    pub(super) fn put(&mut self, image: Image) {
        self.images.retain(|known| known.id != image.id);
        self.images.push(image);
    }

    pub(super) fn mark_in_use(&mut self, id: &str, environment: &str) {
        self.uses.push((id.to_owned(), environment.to_owned()));
    }

    pub(super) fn remove_from_provider(&mut self, provider: &str, id: &str) {
        if let Ok(provider) = self.provider_mut(provider) {
            provider.removed.push(id.to_owned());
        }
    }

    pub(super) fn images_of(&self, provider: &str) -> Result<Vec<&Image>, Refusal> {
        self.provider(provider)?;
        let images = self.images.iter();
        Ok(images.filter(|image| image.provider == provider).collect())
    }

    pub(super) fn get(&self, id: &str) -> Result<&Image, Refusal> {
        let image = self.images.iter().find(|image| image.id == id);
        image.ok_or_else(|| Refusal::NotFound(format!("Image '{id}' does not exist")))
    }

    pub(super) fn create(
        &mut self,
        record: &Map<String, Value>,
        is_v2: bool,
    ) -> Result<String, Refusal> {
        let image = Image::from_record(record, is_v2).map_err(Refusal::Invalid)?;
        self.check(&image)?;
        let id = image.id.clone();
        if self.get(&id).is_ok() {
            let problem = format!("Duplicate key error: image with id '{id}'");
            return Err(Refusal::Invalid(problem));
        }
        self.images.push(image);
        Ok(id)
    }

    /// Replaces an image, except for its id, as in version 2.
    pub(super) fn replace(
        &mut self,
        id: &str,
        mut record: Map<String, Value>,
    ) -> Result<(), Refusal> {
        self.get(id)?;
        record.insert("id".to_owned(), id.into());
        let image = Image::from_record(&record, true).map_err(Refusal::Invalid)?;
        self.check(&image)?;
        self.store(image);
        Ok(())
    }

    /// Changes the fields in the record, as documented for version 3.
    pub(super) fn merge(
        &mut self,
        id: &str,
        record: &Map<String, Value>,
    ) -> Result<Image, Refusal> {
        let image = self.get(id)?.merge(record).map_err(Refusal::Invalid)?;
        self.check_template(&image)?;
        self.store(image.clone());
        Ok(image)
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        let uses = self.uses.iter().filter(|(used, _)| used == id);
        let environments: Vec<&str> = uses.map(|(_, environment)| &**environment).collect();
        if !environments.is_empty() {
            let environments = environments.join(", ");
            let problem = format!("Deleting is forbidden: Image is used in {environments}");
            return Err(Refusal::Invalid(problem));
        }
        let count = self.images.len();
        self.images.retain(|image| image.id != id);
        if self.images.len() == count {
            return Err(Refusal::NotFound(format!("Image '{id}' not found")));
        }
        Ok(())
    }

    /// Returns the images that a provider has and its filter allows.
    pub(super) fn offers(&self, provider: &str) -> Result<Value, Refusal> {
        let ids = self.filter(provider)?;
        let provider = self.provider(provider)?;
        let offered = ids.iter().filter(|id| provider.offers(id));
        let row = |id| json!({"id": id, "name": format!("cloud {id}"), "status": "available"});
        Ok(offered.map(row).collect())
    }

    /// Returns the ids in a provider's filter, or those of its registered images without one.
    pub(super) fn filter(&self, provider: &str) -> Result<Vec<String>, Refusal> {
        if let Some(filter) = &self.provider(provider)?.filter {
            return Ok(filter.clone());
        }
        let images = self.images_of(provider)?.into_iter();
        Ok(images.map(|image| image.id.clone()).collect())
    }

    pub(super) fn add_to_filter(
        &mut self,
        provider: &str,
        ids: Vec<String>,
    ) -> Result<Vec<String>, Refusal> {
        let mut filter = self.filter(provider)?;
        for id in ids {
            if !filter.contains(&id) {
                filter.push(id);
            }
        }
        self.provider_mut(provider)?.filter = Some(filter.clone());
        Ok(filter)
    }

    pub(super) fn remove_from_filter(
        &mut self,
        provider: &str,
        ids: &[String],
    ) -> Result<Vec<String>, Refusal> {
        let mut filter = self.filter(provider)?;
        filter.retain(|id| !ids.contains(id));
        self.provider_mut(provider)?.filter = Some(filter.clone());
        Ok(filter)
    }

    pub(super) fn provider(&self, name: &str) -> Result<&Provider, Refusal> {
        let provider = self.providers.iter().find(|known| known.name == name);
        provider.ok_or_else(|| Refusal::UnknownProvider(name.to_owned()))
    }

    fn provider_mut(&mut self, name: &str) -> Result<&mut Provider, Refusal> {
        let provider = self.providers.iter_mut().find(|known| known.name == name);
        provider.ok_or_else(|| Refusal::UnknownProvider(name.to_owned()))
    }

    /// Replaces the image with the same id.
    fn store(&mut self, image: Image) {
        if let Some(stored) = self.images.iter_mut().find(|known| known.id == image.id) {
            *stored = image;
        }
    }

    /// Refuses an image that its provider does not offer, or whose template does not exist.
    fn check(&self, image: &Image) -> Result<(), Refusal> {
        let (id, name) = (&image.id, &image.provider);
        let Ok(provider) = self.provider(name) else {
            return Err(Refusal::invalid(format!("Invalid provider '{name}'")));
        };
        if !provider.offers(id) {
            return Err(Refusal::invalid(format!(
                "Invalid image id '{id}' for provider '{name}', please check image filters"
            )));
        }
        self.check_template(image)
    }

    fn check_template(&self, image: &Image) -> Result<(), Refusal> {
        match &image.bootstrap_template {
            Some(template) if !self.templates.contains(template) => Err(Refusal::invalid(format!(
                "Invalid bootstrap template '{template}' for image '{}'",
                image.id
            ))),
            _ => Ok(()),
        }
    }
}
