/* Reads a dict as C extensions do: by its storage, without a call to any method of its class. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static int check(PyObject *dict) {
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "a dict is needed");
        return -1;
    }
    return 0;
}

static PyObject *walk(PyObject *module, PyObject *dict) {
    PyObject *key, *value, *pairs;
    Py_ssize_t position = 0;
    (void)module;
    if (check(dict) < 0 || !(pairs = PyList_New(0))) {
        return NULL;
    }
    while (PyDict_Next(dict, &position, &key, &value)) {
        PyObject *pair = PyTuple_Pack(2, key, value);
        if (!pair || PyList_Append(pairs, pair) < 0) {
            Py_XDECREF(pair);
            Py_DECREF(pairs);
            return NULL;
        }
        Py_DECREF(pair);
    }
    return pairs;
}

static PyObject *size(PyObject *module, PyObject *dict) {
    (void)module;
    return check(dict) < 0 ? NULL : PyLong_FromSsize_t(PyDict_Size(dict));
}

static PyObject *keys(PyObject *module, PyObject *dict) {
    (void)module;
    return check(dict) < 0 ? NULL : PyDict_Keys(dict);
}

static PyObject *copy(PyObject *module, PyObject *dict) {
    (void)module;
    return check(dict) < 0 ? NULL : PyDict_Copy(dict);
}

static PyObject *get(PyObject *module, PyObject *args) {
    PyObject *dict, *key, *value;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O", &PyDict_Type, &dict, &key)) {
        return NULL;
    }
    value = PyDict_GetItemWithError(dict, key);
    if (!value && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value ? value : Py_None);
}

static PyMethodDef methods[] = {
    {"walk", walk, METH_O, "All pairs, by PyDict_Next."},
    {"size", size, METH_O, "PyDict_Size."},
    {"keys", keys, METH_O, "PyDict_Keys."},
    {"copy", copy, METH_O, "PyDict_Copy."},
    {"get", get, METH_VARARGS, "PyDict_GetItemWithError, or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "raw_dict_reader", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_raw_dict_reader(void) { return PyModule_Create(&definition); }
